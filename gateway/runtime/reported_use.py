"""Limits on what events report (seats, storage, jobs): the ledger's quantity of the window goes into the counter.

Of tenants with new events at once, of all now and then: a configuration or a tenant's plan may have changed, and a
Redis may have begun anew.
"""

from gateway.clock import SECOND_US, Clock
from gateway.config.accounts import event_rules
from gateway.counters.mmap_store import MmapCounterStore
from gateway.counters.redis_desk import RedisDesk
from gateway.quotas.binding import bind
from gateway.quotas.limit import Limit
from gateway.runtime.state_feed import StateFeed
from gateway.storage.ports import PLATFORM
from gateway.storage.store import Store
from gateway.tenants.model import Tenant

ALL_EVERY_US = 600 * SECOND_US


class ReportedUse:
    """One per host, in the shipper; hosts that share counters set the same figures."""

    def __init__(self, counters: MmapCounterStore | RedisDesk, store: Store, feed: StateFeed, clock: Clock) -> None:
        self._counters = counters
        self._events = store.events
        self._feed = feed
        self._clock = clock
        self._posting = 0
        self._known: tuple[int, str] | None = None
        self._all_after_us = 0

    async def turn(self) -> int:
        """Bring the counters up to the ledger; how many were set. Raises ``StoreUnavailable``."""
        limits = {name: chosen for name in self._feed.snapshot.plans if (chosen := self._limits(name))}
        if not limits:
            return 0
        posting, tenants = await self._events.reported_since(PLATFORM, self._posting)
        known = self._feed.snapshot.version, self._life()
        if known != self._known or self._clock.monotonic() >= self._all_after_us:
            _, tenants = await self._events.reported_since(PLATFORM, 0)
            self._all_after_us = self._clock.monotonic() + ALL_EVERY_US
        done = 0
        for tenant in sorted(tenants):
            found = self._feed.tenants.get(tenant)
            if found is not None:
                for limit in limits.get(found.plan, ()):
                    await self._set(found, limit)
                    done += 1
        self._posting, self._known = posting, known
        return done

    def _limits(self, plan: str) -> tuple[Limit, ...]:
        return tuple(limit for limit in self._feed.snapshot.plans[plan].limits if limit.reported)

    def _life(self) -> str:
        return self._counters.epoch("") if isinstance(self._counters, RedisDesk) else ""

    async def _set(self, tenant: Tenant, limit: Limit) -> None:
        route = limit.routes[0] if limit.routes else ""
        (counter,) = bind((limit,), tenant.limits, tenant, "", route).counters(self._counters.now())
        bounds = counter.bounds
        assert bounds is not None
        rules = event_rules(self._feed.snapshot.source).values()
        how = {rule.meter: rule.aggregate for rule in rules if rule.meter == limit.meter}
        found = await self._events.quantities(PLATFORM, how, tenant.id, bounds.start_us, bounds.end_us)
        self._counters.put(counter, max(0, found.get(limit.meter, 0)))
