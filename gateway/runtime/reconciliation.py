"""Reconciliation: frames appended = rows, rows = rollups, billable = invoiced and not yet, counters = ledger (SEMANTICS
§30).

It may run beside the gateway: each comparison takes its two sides so that a call in between is no difference.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.clock import DAY_US, MINUTE_US, SECOND_US
from gateway.config.snapshot import Snapshot
from gateway.counters.entry import Entry
from gateway.counters.mmap_store import MmapCounterStore
from gateway.counters.redis_desk import RedisDesk
from gateway.counters.seeding import describe
from gateway.invoicing.reconciling import charges
from gateway.metering.record import CallRecord
from gateway.quotas.counter import Counter, CounterRequest
from gateway.quotas.limit import Algorithm
from gateway.runtime import paths
from gateway.runtime.limit_use import bindings
from gateway.runtime.unshipped import unshipped_calls, unshipped_frames
from gateway.spool.open_calls import held_requests
from gateway.spool.reader import SpoolReader
from gateway.spool.tables import appended_counts
from gateway.storage.ports import PLATFORM
from gateway.storage.store import Store
from gateway.storage.values import HostMark
from gateway.tenants.model import Key

PATIENCE_S = 5.0
PAUSE_S = 0.1
SILENT_US = 3 * SECOND_US
"""A host that has not reported for so long ships nothing now."""
INVOICE_DAYS = 45
"""Invoices are compared whose period ended so many days before the ledger is complete, or later."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Two figures that should be one."""

    where: str
    expected: int
    found: int


@dataclass(frozen=True, slots=True)
class Check:
    """One comparison: how many pairs of figures were compared, and those that differ."""

    name: str
    compared: int
    differences: tuple[Difference, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """All comparisons, at the instant before which the ledger is complete (0: nothing was ever shipped).

    ``silent`` are the hosts that hold this instant back: the others have reported since, for a minute and more.
    """

    complete_until_us: int
    unshipped: int
    checks: tuple[Check, ...]
    silent: tuple[HostMark, ...] = ()

    @property
    def difference(self) -> int:
        """Σ of all differences; 0 is what the product promises."""
        return sum(abs(one.expected - one.found) for check in self.checks for one in check.differences)


class Reconciliation:
    """Compares everything that one host knows. ``counters`` None: they are not compared; ``invoice_days`` 0: every
    invoice is."""

    def __init__(
        self,
        snapshot: Snapshot,
        store: Store,
        spool: SpoolReader,
        data: Path,
        counters: MmapCounterStore | RedisDesk | None,
        invoice_days: int = INVOICE_DAYS,
    ) -> None:
        self._snapshot = snapshot
        self._store = store
        self._spool = spool
        self._data = data
        self._counters = counters
        self._invoice_days = invoice_days
        self._wrong: list[tuple[Counter, int]] = []

    async def report(self) -> Report:
        """Compare once."""
        ledger = self._store.ledger
        checks = [await self._frames(), await self._quarantine(), await self._rollups(), await self._invoiced()]
        if self._counters is not None:
            checks.append(await self._check_counters(self._counters))
        cursors = await ledger.cursors(PLATFORM)
        unshipped = sum(1 for _ in unshipped_frames(self._spool, cursors))
        marks = await ledger.hosts(PLATFORM)
        until_us = min((mark.complete_until_us for mark in marks), default=0)
        return Report(until_us, unshipped, tuple(checks), silent_hosts(marks))

    async def excess(self) -> dict[bytes, int]:
        """What calendar counters hold that ledger and calls in progress do not explain; ``repair`` takes it away."""
        if self._counters is None:
            return {}
        await self._check_counters(self._counters)
        self._wrong = [
            (counter, lacks) for counter, lacks in self._wrong if lacks < 0 and counter.algorithm is Algorithm.CALENDAR
        ]
        return {counter.key: -lacks for counter, lacks in self._wrong}

    def repair(self) -> int:
        """Set the counters right that the last report found to differ; how many those are (SEMANTICS §19).

        A calendar count gets what it lacks. A sliding one, whose every sub-bucket may be wrong, is taken away: the next
        call makes it anew, and the shipper adds the ledger's sum to it within five seconds.
        """
        counters, wrong = self._counters, self._wrong
        if counters is None:
            return 0
        for counter, lacks in wrong:
            if counter.algorithm is not Algorithm.CALENDAR:
                counters.drop([counter])
                continue
            note = describe(counter, counters.now())
            assert note is not None  # the ledger explains all that is compared
            rows = [(note.start_us, lacks)]
            if isinstance(counters, RedisDesk):
                counters.seed(note, counter, rows, how=b"amend")
            else:
                counters.amend(counter.key, rows)
        self._wrong = []
        return len(wrong)

    async def _frames(self) -> Check:
        """Sequences 1…n are in the ledger, in quarantine or waiting; n is what the worker counted."""
        appended = appended_counts(paths.inflight(self._data))
        sums = await self._store.ledger.incarnation_sums(PLATFORM)
        ends = {one.incarnation: one.sequence for one in sums}
        for frame in unshipped_frames(self._spool, dict(ends)):
            ends[frame.position.incarnation] = frame.position.sequence
        found = [
            Difference(f"rows of {one.incarnation}", one.sequence, one.sequence - one.difference)
            for one in sums
            if one.difference
        ]
        found += [
            Difference(f"frames of {name}", count, ends.get(name, 0))
            for name, count in appended.items()
            if count > ends.get(name, 0)
        ]
        return Check("frames appended = rows of the ledger", len(ends), tuple(found))

    async def _quarantine(self) -> Check:
        held = await self._store.ledger.quarantined(PLATFORM)
        found = [
            Difference(f"{one.incarnation} {one.first}…{one.last}: {one.reason}", 0, one.last - one.first + 1)
            for one in held
        ]
        return Check("nothing in quarantine", len(held), tuple(found))

    async def _rollups(self) -> Check:
        found = [
            Difference(f"{one.figure} of {one.tenant or 'no tenant'} {one.cell}", one.rows, one.rollup)
            for one in await self._store.ledger.rollup_differences(PLATFORM)
        ]
        rows = await self._store.ledger.posting_sequence(PLATFORM)
        return Check("rows = rollups", rows, tuple(found))

    async def _invoiced(self) -> Check:
        """What final invoices charge is what the ledger had; what came after their watermarks is not invoiced yet."""
        days, ended_us = self._invoice_days, 0
        if days:
            marks = await self._store.ledger.hosts(PLATFORM)
            ended_us = min((mark.complete_until_us for mark in marks), default=0) - days * DAY_US
        compared, found = 0, list[Difference]()
        async with self._store.billing.read(PLATFORM) as books:
            async for one in charges(books, ended_us):
                compared += 1
                if one.units != one.invoiced:
                    where = f"{one.meter} of {one.tenant} on {one.invoice}"
                    found.append(Difference(where, one.units, one.invoiced))
        which = f"periods ended in the last {days} days" if days else "all periods"
        return Check(f"billable = invoiced + not yet invoiced ({which})", compared, tuple(found))

    async def _check_counters(self, counters: MmapCounterStore | RedisDesk) -> Check:
        """Every counter whose sum the ledger must explain: seeded, of the present window, not by address.

        The entries are read between two instants. What the ledger has up to the first must be in a counter, and
        nothing that it does not have up to the second may be.
        """
        bound = [named async for named in self._bound_counters(counters.now())]
        before_us, entries, after_us = _entries(counters, bound)
        waiting: list[CallRecord] = []
        held: list[tuple[int, CounterRequest]] = []
        if not await self._complete(after_us):
            # A call is open for long, or nobody ships: all sides anew, at one moment, with what waits and what is held.
            before_us, entries, after_us = _entries(counters, bound)
            held = held_requests(paths.inflight(self._data))
            waiting = list(unshipped_calls(self._spool, await self._store.ledger.cursors(PLATFORM)))
        found: list[Difference] = []
        compared, self._wrong = 0, []
        for name, counter in bound:
            entry = entries.get((counter.key, counter.algorithm))
            if entry is None or not entry.start_us <= before_us < entry.end_us:
                continue
            compared += 1
            reserved = _held_sum(counter, entry, held)
            least = reserved + await self._expected(counter, entry, before_us, waiting)
            if entry.used != least:
                most = reserved + await self._expected(counter, entry, after_us, waiting)
                if not least <= entry.used <= most:
                    expected = least if entry.used < least else most
                    found.append(Difference(name, expected, entry.used))
                    self._wrong.append((counter, expected - entry.used))
        return Check("counters = ledger", compared, tuple(found))

    async def _complete(self, until_us: int) -> bool:
        """Wait until the ledger is complete up to an instant (SEMANTICS §29): then no record waits, no call is open."""
        ledger = self._store.ledger
        for _ in range(round(PATIENCE_S / PAUSE_S)):
            if await ledger.complete_until(PLATFORM) >= until_us:
                return True
            reported = max((mark.reported_us for mark in await ledger.hosts(PLATFORM)), default=0)
            if reported < until_us - SILENT_US:
                break
            await asyncio.sleep(PAUSE_S)
        return False

    async def _expected(self, counter: Counter, entry: Entry, until_us: int, waiting: Sequence[CallRecord]) -> int:
        end_us = min(entry.end_us, until_us)
        in_ledger = await self._ledger_sum(counter, entry.start_us, end_us)
        return in_ledger + _waiting_sum(counter, entry.start_us, end_us, waiting)

    async def _bound_counters(self, now_us: int) -> AsyncIterator[tuple[str, Counter]]:
        keys = await self._keys_by_tenant()
        seen: set[bytes] = set()
        after: str | None = None
        while True:
            page = await self._store.tenants.list(PLATFORM, 500, after)
            for tenant in page.rows:
                for binding, scope in bindings(self._snapshot, tenant, keys.get(tenant.id, ())):
                    (counter,) = binding.counters(now_us)
                    explained = counter.algorithm in (Algorithm.CALENDAR, Algorithm.SLIDING)
                    explained = explained and not counter.limit.reported  # those follow events, a moment behind
                    if explained and counter.key not in seen:
                        seen.add(counter.key)
                        yield f"{tenant.id} {scope}: limit {counter.limit.name}", counter
            after = page.next
            if after is None:
                return

    async def _keys_by_tenant(self) -> dict[str, list[Key]]:
        keys: dict[str, list[Key]] = {}
        for key in (await self._store.changes.load_state(PLATFORM)).keys:
            keys.setdefault(key.tenant, []).append(key)
        return keys

    async def _ledger_sum(self, counter: Counter, start_us: int, end_us: int) -> int:
        scope, limit = counter.scope, counter.limit
        if scope is None:
            return 0
        routes = (scope.route,) if scope.route else limit.routes
        return await self._store.ledger.quota_sums(
            PLATFORM, scope.tenant, limit.meter, start_us, end_us, scope.key or None, routes
        )


def silent_hosts(marks: Sequence[HostMark]) -> tuple[HostMark, ...]:
    """Those that have not reported for a minute in which another one did."""
    newest_us = max((mark.reported_us for mark in marks), default=0)
    return tuple(mark for mark in marks if mark.reported_us < newest_us - MINUTE_US)


def _entries(
    counters: MmapCounterStore | RedisDesk, bound: Sequence[tuple[str, Counter]]
) -> tuple[int, dict[tuple[bytes, Algorithm], Entry], int]:
    """The seeded entries, between two instants."""
    before_us = counters.now()
    listed = counters.entries([counter for _, counter in bound]) if isinstance(counters, RedisDesk) else counters.dump()
    entries = {(entry.key, entry.algorithm): entry for entry in listed if entry.seeded}
    return before_us, entries, counters.now() + 1


def _held_sum(counter: Counter, entry: Entry, held: Sequence[tuple[int, CounterRequest]]) -> int:
    """What calls in progress on this host have reserved of a counter."""
    return sum(
        request.amount
        for at_us, request in held
        if request.counter.key == counter.key and entry.start_us <= at_us < entry.end_us
    )


def _waiting_sum(counter: Counter, start_us: int, end_us: int, waiting: Sequence[CallRecord]) -> int:
    scope, limit = counter.scope, counter.limit
    if scope is None:
        return 0
    routes = (scope.route,) if scope.route else limit.routes
    return sum(
        record.quota_units.get(limit.meter, 0)
        for record in waiting
        if record.counted
        and record.tenant == scope.tenant
        and scope.key in ("", record.key)
        and (not routes or record.route in routes)
        and start_us <= record.at_us < end_us
    )
