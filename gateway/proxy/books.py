"""What one call leaves behind: its in-flight slot, its reservation, its record, in the order of SEMANTICS §3, 4, 25."""

from collections.abc import Mapping

from gateway.errors import StoreUnavailable
from gateway.hooks.events import Record, Refusal
from gateway.metering.record import CallRecord, Flag
from gateway.proxy.plan import Bound, RoutePlan
from gateway.proxy.services import Services
from gateway.quotas.answer import limit_fields, refusal_code, retry_after, violated_policies
from gateway.quotas.counter import Decision, Reservation

SPOOL_FULL = Refusal(503, "spool_full", "The gateway cannot record calls at the moment.")
STORE_CLOSED = Refusal(503, "store_unavailable", "The gateway cannot check limits at the moment.")
TOO_MANY_IN_FLIGHT = Refusal(503, "overloaded", "The gateway has too many calls in progress.")
_QUOTA_EXCEEDED = "https://iana.org/assignments/http-problem-types#quota-exceeded"
_NO_LIMITS = Reservation((), b"")


class Books:
    """Opened at admission, finished once, whatever happens in between."""

    __slots__ = (
        "_bound",
        "_held",
        "_late",
        "_plan",
        "_services",
        "_slot",
        "_unmetered_ok",
        "decision",
        "finished",
        "open",
        "record",
        "reservation",
    )

    def __init__(self, services: Services, plan: RoutePlan, bound: Bound | None, record: CallRecord) -> None:
        self._services = services
        self._plan = plan
        self._bound = bound
        self._slot = -1
        self._held = False
        self._late = False
        self._unmetered_ok = False
        self.record = record
        self.reservation = _NO_LIMITS
        self.decision: Decision | None = None
        self.open = False
        self.finished = False

    async def admit(self, address: str, unmetered_ok: bool) -> Refusal | None:
        """Open the slot and take all limits in one step, or say why not; then nothing is taken and nothing is open."""
        services, record = self._services, self.record
        self._unmetered_ok = unmetered_ok
        if not services.spool.has_room():
            if not unmetered_ok:
                return SPOOL_FULL
            record.flags |= Flag.UNMETERED
        if self._bound is not None:
            # Any clock will do here: the store picks the window by its own time (SEMANTICS §1).
            now_us = services.clock.now()
            self.reservation = self._bound.binding.reservation(now_us, self._plan.amounts, address)
        if not self.reservation.requests:
            record.at_us = services.counters.now()
        try:
            self._slot = services.inflight.open(record.id, record, self.reservation.packed)
        except StoreUnavailable:
            return TOO_MANY_IN_FLIGHT
        self.open = True
        if self.reservation.requests:
            refusal = await self._reserve()
            if refusal is not None:
                services.inflight.close(self._slot)
                self.open = False
                return refusal
        # Let pass by policy: the store holds nothing of this call, and a recovery gives nothing back.
        services.inflight.reserved(self._slot, record.at_us, not record.flags & Flag.STORE_OPEN)
        return None

    async def _reserve(self) -> Refusal | None:
        record = self.record
        try:
            immediate = self._services.immediate
            if immediate is not None:
                decision = immediate.reserve_now(record.id, self.reservation)
            else:
                decision = await self._services.counters.reserve(record.id, self.reservation)
        except StoreUnavailable as error:
            policies = {request.counter.limit.on_store_error for request in self.reservation.requests}
            if policies != {"open"}:
                self._services.store_failed(error)
                return STORE_CLOSED
            record.flags |= Flag.STORE_OPEN
            record.at_us = self._services.counters.now()
            return None
        self.decision = decision
        if not decision.admitted:
            return limit_refusal(decision)
        self._held = True
        record.at_us = decision.at_us
        record.flags |= decision.flags
        return None

    def sent(self) -> None:
        """The first byte is about to go to the upstream."""
        self._services.inflight.sent(self._slot)

    async def finish(self, units: Mapping[str, int], *, counted: bool) -> None:
        """Append, then settle or release; with ``fsync: always`` wait for the disk.

        Raises ``OSError`` when the record could not be written: the client must not get its last byte, the slot stays
        open, and the append is tried again (SEMANTICS §25).
        """
        services, record = self._services, self.record
        self.finished = True
        record.counted = counted
        if counted:
            record.quota_units = dict(units) if self._bound is not None else {}
        sequence = self._append()
        if self._held:
            await self._settle(units, counted)
        services.inflight.settled(self._slot)
        if services.synced is not None and sequence:
            await services.synced(sequence)
        for stage in self._plan.record:
            try:
                stage(Record(record))
            except Exception:
                services.logger.exception("a record stage failed")

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
        if self._held:
            await self._settle(record.quota_units, record.counted)
        services.inflight.settled(self._slot)
        self._late = False
        self.close()

    def checkpoint(self, record: CallRecord) -> None:
        """What the call leaves if the worker dies from now on."""
        self._services.inflight.checkpoint(self._slot, record)

    async def _settle(self, units: Mapping[str, int], counted: bool) -> None:
        record, immediate = self.record, self._services.immediate
        try:
            if counted and self._bound is not None:
                actual = self._bound.binding.actual(self.reservation, units)
                if immediate is not None:
                    immediate.settle_now(record.id, record.at_us, self.reservation, actual)
                else:
                    await self._services.counters.settle(record.id, record.at_us, self.reservation, actual)
            else:
                await self._services.counters.release(record.id, record.at_us, self.reservation)
        except StoreUnavailable as error:
            # The record is in the spool: reconcile sets the counter right (SEMANTICS §19).
            self._services.logger.error("settle failed", extra={"call": record.id.hex(), "error": str(error)})

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
        fields = limit_fields(decision.states, decision.at_us, style)
        return b"".join([b"%b: %b\r\n" % field for field in fields])


def limit_refusal(decision: Decision) -> Refusal:
    """429, with the first instant at which the same call would pass."""
    seconds = retry_after(decision)
    headers = ((b"Retry-After", b"%d" % seconds),) if seconds is not None else ()
    names = violated_policies(decision)
    return Refusal(
        429, refusal_code(decision), f"The limit is reached: {', '.join(names)}.", headers, _QUOTA_EXCEEDED,
        {"violated-policies": names},
    )  # fmt: skip
