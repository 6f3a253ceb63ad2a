"""Counters as projections of the ledger: rebuilt at the start when missing, seeded when new (SEMANTICS §16, 19)."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable

from gateway.clock import DAY_US, SECOND_US, Clock
from gateway.counters.layout import Capacity
from gateway.counters.mmap_store import MmapCounterStore
from gateway.counters.seeding import Unseeded, describe
from gateway.counters.upkeep import made_us
from gateway.errors import StoreUnavailable
from gateway.quotas.binding import bind
from gateway.quotas.counter import Reservation
from gateway.quotas.limit import Algorithm, Limit
from gateway.runtime.state_feed import StateFeed
from gateway.storage.ledger import Ledger
from gateway.storage.ports import PLATFORM
from gateway.storage.store import Store

logger = logging.getLogger(__name__)

LONGEST_WINDOW_US = 367 * DAY_US
PATIENCE_US = 5 * SECOND_US
NO_CALL = bytes(16)
ROOM_EVERY = 100
"""Scopes between two looks at the counters' room, and two breaths of the loop."""
LEAST = Capacity(8, 8, 8)


class Seeder:
    """One per host, in the shipper. Raises ``StoreUnavailable`` when ledger or counters do not answer.

    ``caught_up`` tells when the shipper last stood at the spool's end.
    """

    def __init__(
        self, counters: MmapCounterStore, store: Store, feed: StateFeed, clock: Clock, caught_up: Callable[[], int]
    ) -> None:
        self._counters = counters
        self._ledger = store.ledger
        self._feed = feed
        self._clock = clock
        self._caught_up = caught_up

    @property
    def is_fresh(self) -> bool:
        """Whether the counters start with nothing, so that everything must be rebuilt."""
        return self._counters.is_fresh

    async def rebuild(self) -> int:
        """Make every counter that the ledger knows usage for, with its sum; before the workers accept."""
        since, use, seeded = self._clock.now() - LONGEST_WINDOW_US, LedgerUse(self._ledger), 0
        for number, scope in enumerate(await self._ledger.active_scopes(PLATFORM, since)):
            if number % ROOM_EVERY == 0:
                self._counters.grow(LEAST)  # nobody else does while this one is at it
                await asyncio.sleep(0)
            seeded += await self._rebuild_scope(use, *scope)
        return seeded + await self.turn(wait=False)

    async def _rebuild_scope(self, use: "LedgerUse", tenant_id: str, key: str, route: str) -> int:
        tenant = self._feed.tenants.get(tenant_id)
        plan = self._feed.snapshot.plans.get(tenant.plan) if tenant else None
        if tenant is None or plan is None:
            return 0
        limits = [limit for limit in plan.limits if is_seeded(limit)]
        binding = bind(limits, tenant.limits, tenant, key, route)
        nothing = {limit.meter: 0 for limit in limits}
        before_us = self._counters.now()
        self._make(binding.reservation(before_us, nothing))
        now_us, seeded = self._counters.now(), 0
        for counter in binding.counters(now_us):
            note = describe(counter, now_us)
            if note is None or not use.is_first(note):
                continue
            # One that a call made counts since then, and its own note says so: ``turn`` seeds it.
            if made_us(self._counters, counter) >= before_us:
                seeded += self._counters.seed(counter.key, await use.rows(note))
        return seeded

    def _make(self, reservation: Reservation) -> None:
        try:
            self._counters.reserve_now(NO_CALL, reservation)
        except StoreUnavailable as error:
            if error.reason != "counters_full" or self._counters.grow(LEAST) is None:
                raise
            self._counters.reserve_now(NO_CALL, reservation)

    async def turn(self, *, wait: bool = True) -> int:
        """Add the ledger's sums to the counters that wait for them; returns how many got theirs.

        A counter waits until every call from before its creation is in the ledger; for one that is still open it
        waits five seconds at most, for records that wait in the spool as long as they do.
        """
        notes = self._counters.unseeded()
        if not notes:
            return 0
        complete_until = await self._ledger.complete_until(PLATFORM)
        patient_since = self._caught_up() - PATIENCE_US
        seeded = 0
        for note in notes:
            if wait and note.created_us > complete_until and note.created_us > patient_since:
                continue
            seeded += self._counters.seed(note.key, await ledger_rows(self._ledger, note))
        if seeded:
            logger.info("counters seeded from the ledger", extra={"counters": seeded})
        return seeded


async def ledger_rows(ledger: Ledger, note: Unseeded) -> list[tuple[int, int]]:
    """What the ledger knows of a counter from before its creation, as (time, units)."""
    routes = (note.route,) if note.route else note.routes
    key = note.key_id or None
    if note.algorithm is Algorithm.CALENDAR:
        total = await ledger.quota_sums(PLATFORM, note.tenant, note.meter, note.start_us, note.created_us, key, routes)
        return [(note.start_us, total)]
    return await ledger.quota_rows(PLATFORM, note.tenant, note.meter, note.start_us, note.created_us, key, routes)


class LedgerUse:
    """The ledger's rows for many counters of the same moment: one question a tenant, meter and window.

    For counters that are made while nobody is counted. Scopes come tenant by tenant: one tenant's use is kept.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._tenant = ""
        self._seen: set[bytes] = set()
        self._known: dict[tuple[str, int, int], dict[str, list[tuple[str, int, int]]]] = {}

    def is_first(self, note: Unseeded) -> bool:
        """Whether this counter was not asked about yet: several scopes share those of a tenant."""
        self._turn_to(note.tenant)
        if note.key in self._seen:
            return False
        self._seen.add(note.key)
        return True

    async def rows(self, note: Unseeded) -> list[tuple[int, int]]:
        """As ``ledger_rows``."""
        self._turn_to(note.tenant)
        summed = note.algorithm is Algorithm.CALENDAR
        # A sliding window begins later for a counter that was made later: the first one's rows hold all others'.
        name = note.meter, note.start_us if summed else 0, note.window_us
        by_key = self._known.get(name)
        if by_key is None:
            by_key = self._known[name] = defaultdict(list)
            for key, route, at_us, units in await self._ledger.quota_use(
                PLATFORM, note.tenant, note.meter, note.start_us, note.created_us, summed=summed
            ):
                by_key[key].append((route, at_us, units))
        keys = (note.key_id,) if note.key_id else tuple(by_key)
        routes = (note.route,) if note.route else note.routes
        return [
            (at_us, units)
            for key in keys
            for route, at_us, units in by_key.get(key, ())
            if at_us >= note.start_us and (not routes or route in routes)
        ]

    def _turn_to(self, tenant: str) -> None:
        if tenant != self._tenant:
            self._tenant = tenant
            self._seen.clear()
            self._known.clear()


def is_seeded(limit: Limit) -> bool:
    """Whether the ledger knows a limit's usage: buckets restart full, addresses are not kept apart (SEMANTICS §19)."""
    counts = limit.algorithm in (Algorithm.CALENDAR, Algorithm.SLIDING) and not limit.reported
    return counts and "address" not in limit.by
