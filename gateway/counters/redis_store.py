"""Counters of many hosts in Redis (SEMANTICS §21): one script call takes all limits of a call in one atomic step."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from gateway.config.redis_url import RedisAddress
from gateway.counters import redis_form as form
from gateway.counters.redis_form import LIVES, REGISTRY, Prepared
from gateway.counters.redis_link import RedisLink
from gateway.counters.redis_nodes import RedisNodes
from gateway.counters.redis_owed import Owed, OwedCalls
from gateway.counters.seeding import Notes, describe
from gateway.errors import StoreUnavailable
from gateway.quotas.counter import CounterStore, Decision, Reservation
from gateway.quotas.limit import Algorithm

_PREPARED: Final = 8192  # reservations whose commands are remembered
LEASE_MS: Final = 15_000
RENEW: Final = 5.0
UNSEEDED_PAUSE: Final = 0.2

_logger = logging.getLogger(__name__)


class RedisCounterStore:
    """A ``CounterStore`` of one worker. ``host_now`` is the host's own time, for calls that reserve nothing.

    ``notes`` names counters that lack the ledger's sum, for the shipper. ``time`` replaces Redis's time in tests.
    """

    def __init__(
        self, address: RedisAddress, incarnation: str, host_now: Callable[[], int], notes: Path,
        time: Callable[[], int] | None = None,
    ) -> None:  # fmt: skip
        self.incarnation = incarnation
        self._now = host_now
        self._time = time
        self._notes = Notes(notes)
        self._prepared: dict[int, tuple[Prepared, str]] = {}
        self._held: dict[bytes, tuple[str, Reservation]] = {}
        self._again: dict[bytes, Owed] = {}
        self._owed = OwedCalls()
        self._tenants: set[str] = set()
        self._nodes = RedisNodes(address, self._came_up)
        self._renewing = asyncio.get_running_loop().create_task(self._renew(), name="lease")
        self._paying: asyncio.Task[None] | None = None

    def now(self) -> int:
        return self._now()

    async def until_up(self, timeout: float) -> bool:
        """Wait for Redis; False when it does not answer in time."""
        return await self._nodes.first.until_up(timeout)

    @property
    def owed(self) -> int:
        """How many calls' ends Redis has not been told yet."""
        return len(self._owed)

    async def close(self) -> None:
        """Let go of the connection; the lease is given up when nothing is held."""
        tasks = [task for task in (self._renewing, self._paying) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._owed and self._nodes.first.is_up:
            await self._pay_once()
        await self._nodes.close()

    async def reserve(self, call_id: bytes, reservation: Reservation) -> Decision:
        link = self._nodes.of(tenant := tenant_of(reservation))
        epoch = link.epoch
        known = self._prepared.get(id(reservation))
        prepared = known[0] if known is not None and known[1] == epoch else self._prepare(reservation, epoch, link)
        if tenant not in self._tenants:
            self._register(tenant)
        not_after = link.not_after() if self._time is None else b""
        command = prepared.reserve(call_id, not_after) if self._time is None else self._timed(prepared, call_id)
        try:
            reply = await link.ask(command)
        except StoreUnavailable:
            # It may have been done, and nobody knows: taken back when Redis answers.
            self._owe(Owed(call_id, 0, reservation, (0,) * len(reservation.requests), epoch))
            raise
        assert isinstance(reply, bytes)
        error = form.refused_by(reply)
        if error is not None:
            if error.reason == "late":
                link.drop("its clock was stepped, or it was late")
            raise error
        decision, new = prepared.decision(reply)
        if decision.admitted:
            self._held[call_id] = epoch, reservation
            if new:
                self._note(reservation, new, decision.at_us)
        return decision

    async def settle(self, call_id: bytes, at_us: int, reservation: Reservation, actual: Sequence[int]) -> None:
        """Replace what was reserved; when Redis does not answer, it is told later."""
        link = self._nodes.of(tenant_of(reservation))
        held = self._held.pop(call_id, None)
        epoch = held[0] if held is not None else link.epoch
        if self._again and (again := self._again.pop(call_id, None)) is not None:
            await self._end(again, link)
        if epoch:  # else not held by this worker, or ended before
            await self._end(Owed(call_id, at_us, reservation, tuple(actual), epoch), link)

    async def _end(self, owed: Owed, link: RedisLink) -> None:
        if not link.is_up or owed.epoch != link.epoch:
            self._owe(owed)
            return
        try:
            await link.ask(self._ending(owed))
        except StoreUnavailable:
            self._owe(owed)

    async def release(self, call_id: bytes, at_us: int, reservation: Reservation) -> None:
        await self.settle(call_id, at_us, reservation, (0,) * len(reservation.requests))

    async def count(self, call_id: bytes, at_us: int, reservation: Reservation, actual: Sequence[int]) -> None:
        """Count a call that policy let pass: its units are owed until Redis answers and is seeded."""
        self._owe(Owed(call_id, at_us, reservation, tuple(actual)))

    # ── what goes out ────────────────────────────────────────────────────────────────────────────────────────────

    def _prepare(self, reservation: Reservation, epoch: str, link: RedisLink) -> Prepared:
        if not epoch:
            link.ask(b"")  # says why it is down
        if len(self._prepared) >= _PREPARED:
            self._prepared.clear()
        prepared = Prepared.of(reservation, epoch, self.incarnation, b"")
        self._prepared[id(reservation)] = prepared, epoch
        return prepared

    def _timed(self, prepared: Prepared, call_id: bytes) -> bytes:
        return form.script_call(prepared.keys, (b"R", call_id, prepared.counters, self._told(), b""))

    def _told(self) -> bytes:
        return b"%d" % self._time() if self._time is not None else b""

    def _ending(self, owed: Owed) -> bytes:
        """The command that ends a call in the epoch that holds it."""
        reservation = owed.reservation
        known = self._prepared.get(id(reservation))
        if known is not None and known[1] == owed.epoch and self._time is None:
            return known[0].end(owed.call_id, owed.actual, owed.at_us)
        prefix = form.key_prefix(tenant_of(reservation), owed.epoch)
        keys = form.mark_key(prefix), form.calls_key(prefix, self.incarnation), *form.counter_keys(prefix, reservation)
        body = owed.call_id, form.pack_counters(reservation), self._told(), form.pack_amounts(owed.actual)
        return form.script_call(keys, (b"S", *body, b"", b"%d" % owed.at_us))

    def _counting(self, passed: Sequence[Owed], epoch: str) -> bytes:
        """The command that counts calls of one reservation that no epoch holds."""
        reservation = passed[0].reservation
        prefix = form.key_prefix(tenant_of(reservation), epoch)
        keys = form.mark_key(prefix), form.counted_key(prefix), *form.counter_keys(prefix, reservation)
        rows = b"".join([form.pack_passed(owed.call_id, owed.at_us, owed.ended_us, owed.actual) for owed in passed])
        return form.script_call(keys, (b"A", bytes(16), form.pack_counters(reservation), self._told(), rows))

    def _note(self, reservation: Reservation, new: Sequence[int], at_us: int) -> None:
        for number in new:
            note = describe(reservation.requests[number].counter, at_us)
            if note is not None:
                try:
                    self._notes.add(note)
                except OSError as error:
                    _logger.error("a new counter cannot be noted for seeding", extra={"error": str(error)})

    def _register(self, tenant: str) -> None:
        """Say where a sweep finds this worker's reservations."""
        registry = self._nodes.of(REGISTRY)
        if registry.is_up:
            name = self.incarnation.encode()
            for command in (
                form.command(b"SET", form.lease_key(name), b"", b"PX", b"%d" % LEASE_MS),
                form.command(b"SADD", LIVES, name),
                form.command(b"SADD", form.tenants_key(name), tenant.encode(errors="surrogateescape")),
            ):
                registry.ask(command).add_done_callback(_taken)
            self._tenants.add(tenant)

    async def _renew(self) -> None:
        """The lease: while it runs, what this incarnation holds is in use (SEMANTICS §21)."""
        while True:
            await asyncio.sleep(RENEW)
            try:
                registry = self._nodes.of(REGISTRY)
                if self._tenants:
                    lease = form.lease_key(self.incarnation.encode())
                    command = form.command(b"SET", lease, b"", b"PX", b"%d" % LEASE_MS)
                    registry.ask(command).add_done_callback(_taken)
            except StoreUnavailable:
                continue  # while Redis is away leases end; nobody sweeps either
            if self._owed:
                self._start_paying()

    # ── what Redis is told later ─────────────────────────────────────────────────────────────────────────────────

    def _owe(self, owed: Owed) -> None:
        if not owed.epoch and not any(owed.actual):
            return
        self._owed.add(msgspec.structs.replace(owed, ended_us=self._now()))
        if self._nodes.first.is_up:
            self._start_paying()

    def _came_up(self, link: RedisLink) -> None:
        self._tenants.clear()
        for call_id, (epoch, reservation) in self._held.items():
            if epoch != link.epoch and self._nodes.of(tenant_of(reservation)) is link:
                self._take_again(call_id, reservation, link)
        if self._owed:
            self._start_paying()

    def _take_again(self, call_id: bytes, reservation: Reservation, link: RedisLink) -> None:
        """A call in progress keeps its place among the calls at once in the server's new life (SEMANTICS §19)."""
        requests = tuple(one for one in reservation.requests if one.counter.algorithm is Algorithm.CONCURRENT)
        if not requests:
            return
        part, tenant = Reservation(requests, b"", reservation.tenant), tenant_of(reservation)
        owed = self._again[call_id] = Owed(_again_id(call_id), 0, part, (0,) * len(requests), link.epoch)
        prefix = form.key_prefix(tenant, link.epoch)
        keys = form.mark_key(prefix), form.calls_key(prefix, self.incarnation), *form.counter_keys(prefix, part)
        body = owed.call_id, form.pack_counters(part), self._told(), b"%d" % self._now()
        link.ask(form.script_call(keys, (b"T", *body))).add_done_callback(_taken)
        if tenant not in self._tenants:
            self._register(tenant)

    def _start_paying(self) -> None:
        if self._paying is None or self._paying.done():
            self._paying = asyncio.get_running_loop().create_task(self._pay(), name="owed to redis")

    async def _pay(self) -> None:
        """Tell Redis how calls ended; what is not answered stays owed. Each is idempotent by call id."""
        pause = UNSEEDED_PAUSE
        while await self._pay_once():
            await asyncio.sleep(pause)
            pause = min(2 * pause, RENEW)

    async def _pay_once(self) -> set[str]:
        """All that is owed now; returns the tenants whose counters are not rebuilt yet."""
        unseeded: set[str] = set()
        for part in self._owed.parts():
            asked = []
            for link, command, ends, counted in self._payments(part, unseeded):
                with contextlib.suppress(StoreUnavailable):
                    asked.append((link.ask(command), ends, counted))
            await asyncio.sleep(0)  # calls come between, also where nothing can be asked
            for answer, ends, counted in asked:
                with contextlib.suppress(StoreUnavailable):
                    reply = await answer
                    if reply == b"unseeded":
                        unseeded.add(tenant_of(ends[0].reservation))
                    else:
                        self._heard(reply, ends, counted)
        return unseeded

    def _heard(self, reply: object, ends: Sequence[Owed], counted: bool) -> None:
        self._owed.told(ends)
        if counted and isinstance(reply, bytes):
            self._note(ends[0].reservation, *form.counters_begun(reply))

    def _payments(
        self, part: Sequence[Owed], unseeded: Collection[str]
    ) -> Iterator[tuple[RedisLink, bytes, Sequence[Owed], bool]]:
        """What to say where: an end that the server's present life holds by itself, calls let pass together (True)."""
        passed: dict[int, tuple[RedisLink, list[Owed]]] = {}
        for owed in part:
            tenant = tenant_of(owed.reservation)
            link = self._nodes.find(tenant)
            if link is None or not link.is_up or tenant in unseeded:
                continue
            if owed.epoch == link.epoch:
                yield link, self._ending(owed), (owed,), False
            elif any(owed.actual):
                passed.setdefault(id(owed.reservation), (link, []))[1].append(owed)
            else:
                self._owed.told((owed,))  # what it held is gone with the epoch
        for link, ends in passed.values():
            yield link, self._counting(ends, link.epoch), ends, True


def tenant_of(reservation: Reservation) -> str:
    """Whose counters these are."""
    if reservation.tenant:
        return reservation.tenant
    scopes = (request.counter.scope for request in reservation.requests)
    return next((scope.tenant for scope in scopes if scope is not None), "")


def _again_id(call_id: bytes) -> bytes:
    """The name of what a call takes again: the call itself is of another epoch, and its end is told too."""
    return call_id[:-1] + bytes([call_id[-1] ^ 0xFF])


def _taken(future: "asyncio.Future[object]") -> None:
    """An answer that nobody waits for."""
    if not future.cancelled():
        future.exception()


if TYPE_CHECKING:
    _: type[CounterStore] = RedisCounterStore
