"""Counters as projections of the ledger: rebuilt at the start when missing, seeded when new (SEMANTICS §16, 19)."""

import logging
from collections.abc import Callable

from gateway.clock import DAY_US, SECOND_US, Clock
from gateway.counters.mmap_store import MmapCounterStore
from gateway.counters.seeding import Unseeded
from gateway.quotas.binding import bind
from gateway.quotas.limit import Algorithm, Limit
from gateway.runtime.state_feed import StateFeed
from gateway.storage.ledger import Ledger
from gateway.storage.ports import PLATFORM
from gateway.storage.store import Store

logger = logging.getLogger(__name__)

LONGEST_WINDOW_US = 367 * DAY_US
PATIENCE_US = 5 * SECOND_US
NO_CALL = bytes(16)


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
        since = self._clock.now() - LONGEST_WINDOW_US
        for tenant_id, key, route in await self._ledger.active_scopes(PLATFORM, since):
            tenant = self._feed.tenants.get(tenant_id)
            plan = self._feed.snapshot.plans.get(tenant.plan) if tenant else None
            if tenant is None or plan is None:
                continue
            limits = [limit for limit in plan.limits if is_seeded(limit)]
            binding = bind(limits, tenant.limits, tenant, key, route)
            nothing = {limit.meter: 0 for limit in limits}
            self._counters.reserve_now(NO_CALL, binding.reservation(self._counters.now(), nothing))
        return await self.turn(wait=False)

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


def is_seeded(limit: Limit) -> bool:
    """Whether the ledger knows a limit's usage: buckets restart full, addresses are not kept apart (SEMANTICS §19)."""
    counts = limit.algorithm in (Algorithm.CALENDAR, Algorithm.SLIDING) and not limit.reported
    return counts and "address" not in limit.by
