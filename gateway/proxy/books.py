"""What one call leaves behind: its in-flight slot, its reservation, its record, in the order of SEMANTICS §3, 4, 25."""

from collections.abc import Awaitable, Mapping
from time import monotonic_ns
from typing import Final

from gateway.errors import StoreUnavailable
from gateway.hooks.events import Record, Refusal
from gateway.metering.record import CallRecord, Flag
from gateway.proxy.outage import LocalHold
from gateway.proxy.plan import Bound, RoutePlan
from gateway.proxy.services import Services
from gateway.quotas.answer import limit_lines, refusal_code, retry_after, violated_policies
from gateway.quotas.counter import Decision, ImmediateStore, Reservation
from gateway.quotas.reported import judged

SPOOL_FULL: Final = Refusal(503, "spool_full", "The gateway cannot record calls at the moment.")
STORE_CLOSED: Final = Refusal(503, "store_unavailable", "The gateway cannot check limits at the moment.")
TOO_MANY_IN_FLIGHT: Final = Refusal(503, "overloaded", "The gateway has too many calls in progress.")
_QUOTA_EXCEEDED: Final = "https://iana.org/assignments/http-problem-types#quota-exceeded"
_NO_LIMITS: Final = Reservation((), b"")
_UNMETERED: Final = int(Flag.UNMETERED)  # an IntFlag's own operators are slow
_STORE_OPEN: Final = int(Flag.STORE_OPEN)


class Books:
    """Opened at admission, finished once, whatever happens in between."""

    __slots__ = (
        "_amounts",
        "_bound",
        "_held",
        "_late",
        "_local",
        "_plan",
        "_services",
        "_slot",
        "_unmetered_ok",
        "decision",
        "finished",
        "open",
        "record",
        "reservation",
        "waits",
    )

    def __init__(self, services: Services, plan: RoutePlan, bound: Bound | None, record: CallRecord) -> None:
        self._services = services
        self._plan = plan
        self._bound = bound
        self._slot = -1
        self._amounts: Mapping[str, int] | None = None
        self._held = False
        self._late = False
        self._local: LocalHold | None = None
        self._unmetered_ok = False
        self.waits = False
        self.record = record
        self.reservation = _NO_LIMITS
        self.decision: Decision | None = None
        self.open = False
        self.finished = False

    def admit(self, address: str, unmetered_ok: bool) -> Refusal | None:
        """Open the slot and take all limits in one step, or say why not; then nothing is taken and nothing is open.

        Where the store must be waited for, ``waits`` is True and ``reserve`` follows.
        """
        services, record, bound = self._services, self.record, self._bound
        self._unmetered_ok = unmetered_ok
        if not services.spool.has_room():
            if not unmetered_ok:
                return SPOOL_FULL
            record.flags |= _UNMETERED
        if bound is not None:
            # Any clock will do here: the store picks the window by its own time (SEMANTICS §1).
            self._amounts = self._plan.amounts
            self.reservation = bound.reservation(services.clock.now(), self._amounts, address)
        reservation, immediate = self.reservation, services.immediate
        if not reservation.packed:
            record.at_us = services.counters.now()
        try:
            self._slot = services.inflight.open(record.id, record, reservation.packed)
        except StoreUnavailable:
            return TOO_MANY_IN_FLIGHT
        self.open = True
        if reservation.packed:
            if immediate is None:
                self.waits = True
                return None
            try:
                decision = immediate.reserve_now(record.id, reservation)
                if bound is not None and bound.reported and decision.admitted:
                    decision = judged(decision)
                    if not decision.admitted:
                        immediate.release_now(record.id, decision.at_us, reservation)
                return self._decided(decision)
            except StoreUnavailable as error:
                return self._undecided(error)
        services.inflight.reserved(self._slot, record.at_us)
        return None

    async def reserve(self) -> Refusal | None:
        """Take all limits in a store that must be waited for."""
        self.waits = False
        services, began = self._services, monotonic_ns()
        try:
            decision = await services.counters.reserve(self.record.id, self.reservation)
            if self._bound is not None and self._bound.reported and decision.admitted:
                decision = judged(decision)
                if not decision.admitted:
                    await services.counters.release(self.record.id, decision.at_us, self.reservation)
            answer = self._decided(decision)
        except StoreUnavailable as error:
            answer = self._undecided(error)
        services.metrics.waited((monotonic_ns() - began) // 1000)
        return answer

    def _decided(self, decision: Decision) -> Refusal | None:
        self.decision = decision
        if not decision.admitted:
            self.close()
            return limit_refusal(decision)
        record = self.record
        self._held = True
        record.at_us = decision.at_us
        if decision.flags:
            record.flags |= decision.flags
        self._services.inflight.reserved(self._slot, decision.at_us)
        return None

    def _undecided(self, error: StoreUnavailable) -> Refusal | None:
        services, record = self._services, self.record
        services.store_failed(error)
        verdict = services.outage.decide(record.id, self.reservation)
        if verdict.closed:
            self.close()
            return STORE_CLOSED
        self.decision = verdict.decision
        if verdict.decision is not None and not verdict.decision.admitted:
            self.close()
            return limit_refusal(verdict.decision)
        self._local = verdict.hold
        services.metrics.passed_by_policy += 1
        record.flags |= _STORE_OPEN
        record.at_us = services.counters.now()
        # Let pass by policy: the store holds nothing of this call, and a recovery gives nothing back.
        services.inflight.reserved(self._slot, record.at_us, False)
        return None

    def sent(self) -> None:
        """The first byte is about to go to the upstream."""
        self._services.inflight.sent(self._slot)

    def finish(self, units: dict[str, int], *, counted: bool) -> Awaitable[None] | None:
        """Append, then settle or release. What is returned is to be awaited: a store or, with ``fsync: always``,
        the disk.

        Raises ``OSError`` when the record could not be written: the client must not get its last byte, the slot stays
        open, and the append is tried again (SEMANTICS §25).
        """
        services, record, bound = self._services, self.record, self._bound
        self.finished = True
        record.counted = counted
        if counted and bound is not None:
            record.quota_units = units
        sequence = self._append()
        if not sequence:
            counted = False  # served unmetered: what has no record takes nothing (SEMANTICS §19)
        if self._held:
            if services.immediate is None:
                return self._finish_waiting(units, counted, sequence)
            # A call that cost what it reserved leaves nothing to settle.
            if not (counted and units is self._amounts and bound is not None and bound.keeps):
                self._settle_now(services.immediate, units, counted)
        elif record.flags & _STORE_OPEN:
            return self._finish_waiting(units, counted, sequence)
        services.inflight.settled(self._slot)
        if services.synced is not None and sequence:
            return self._finish_synced(sequence)
        if self._plan.record:
            self._record_stages()
        return None

    async def _finish_waiting(self, units: dict[str, int], counted: bool, sequence: int) -> None:
        await self._settle(units, counted)
        self._services.inflight.settled(self._slot)
        await self._finish_synced(sequence)

    async def _finish_synced(self, sequence: int) -> None:
        if self._services.synced is not None and sequence:
            await self._services.synced(sequence)
        self._record_stages()

    def _record_stages(self) -> None:
        for stage in self._plan.record:
            try:
                stage(Record(self.record))
            except Exception:
                self._services.logger.exception("a record stage failed")

    def _append(self) -> int:
        """The record's sequence; 0 when it is given up because calls are served unmetered."""
        services, record = self._services, self.record
        try:
            return services.spool.append(record)
        except OSError:
            if self._unmetered_ok:
                services.metrics.unmetered += 1
                return 0
            services.unwritten.add(self)
            self._late = True
            raise

    async def finish_late(self) -> None:
        """The append that failed, once more. A call whose answer we cut ourselves is not billed."""
        services, record = self._services, self.record
        if record.outcome == "ok":
            record.outcome = "interrupted"
            record.billable = record.counted = False
            record.not_billable = "interrupted"
            record.quota_units = {}
        services.spool.append(record)
        if self._held or record.flags & _STORE_OPEN:
            await self._settle(record.quota_units, record.counted)
        services.inflight.settled(self._slot)
        self._late = False
        self.close()

    def checkpoint(self, record: CallRecord) -> None:
        """What the call leaves if the worker dies from now on."""
        self._services.inflight.checkpoint(self._slot, record)

    async def _settle(self, units: Mapping[str, int], counted: bool) -> None:
        services, record = self._services, self.record
        if not self._held:
            await self._count_late(units, counted)
            return
        if services.immediate is not None:
            self._settle_now(services.immediate, units, counted)
            return
        try:
            if counted and self._bound is not None:
                actual = self._bound.actual(self.reservation, units)
                await services.counters.settle(record.id, record.at_us, self.reservation, actual)
            else:
                await services.counters.release(record.id, record.at_us, self.reservation)
        except StoreUnavailable as error:
            self._not_settled(error)

    async def _count_late(self, units: Mapping[str, int], counted: bool) -> None:
        """A call that policy let pass: the host gives back what it held, the store counts it when it can."""
        if self._bound is None:
            return
        services, record = self._services, self.record
        actual = self._bound.actual(self.reservation, units if counted else {})
        try:
            if self._local is not None:
                self._local.settle(record.id, actual)
            if counted:
                await services.counters.count(record.id, record.at_us, self.reservation, actual)
        except StoreUnavailable as error:
            self._not_settled(error)

    def _settle_now(self, store: ImmediateStore, units: Mapping[str, int], counted: bool) -> None:
        record = self.record
        try:
            if counted and self._bound is not None:
                actual = self._bound.actual(self.reservation, units)
                store.settle_now(record.id, record.at_us, self.reservation, actual)
            else:
                store.release_now(record.id, record.at_us, self.reservation)
        except StoreUnavailable as error:
            self._not_settled(error)

    def _not_settled(self, error: StoreUnavailable) -> None:
        # The record is in the spool: reconcile sets the counter right (SEMANTICS §19).
        self._services.logger.error("settle failed", extra={"call": self.record.id.hex(), "error": str(error)})

    def close(self) -> None:
        """The last byte is out."""
        if self.open and not self._late:
            self._services.inflight.close(self._slot)
            self.open = False

    def limit_lines(self, style: str) -> bytes:
        """The rate-limit fields of the answer."""
        decision = self.decision
        if decision is None or not decision.states:
            return b""
        return limit_lines(decision.states, decision.at_us, style)


def limit_refusal(decision: Decision) -> Refusal:
    """429, with the first instant at which the same call would pass."""
    seconds = retry_after(decision)
    headers = ((b"Retry-After", b"%d" % seconds),) if seconds is not None else ()
    names = violated_policies(decision)
    return Refusal(
        429, refusal_code(decision), f"The limit is reached: {', '.join(names)}.", headers, _QUOTA_EXCEEDED,
        {"violated-policies": names},
    )  # fmt: skip
