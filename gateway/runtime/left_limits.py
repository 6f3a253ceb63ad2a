"""Counters that no limit counts in any more are taken away; one that comes back is made anew (SEMANTICS §16, 19).

A limit that was taken out of a plan, or a tenant that left the plan, leaves counters behind that miss every call from
then on. Kept, they would count on from there if the limit came back in the same window. Made anew they get the ledger's
sum, which has those calls.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterator

from gateway.clock import SECOND_US, Clock
from gateway.config.snapshot import Snapshot
from gateway.counters.mmap_store import MmapCounterStore
from gateway.counters.redis_desk import RedisDesk
from gateway.quotas.binding import bind
from gateway.quotas.counter import Counter
from gateway.quotas.limit import Limit
from gateway.runtime.live_state import LiveState
from gateway.runtime.seeding import is_seeded
from gateway.runtime.state_feed import StateFeed
from gateway.tenants.model import Tenant

logger = logging.getLogger(__name__)

APPLIED_US = 2 * SECOND_US
"""After so long every worker decides by the new state."""
_TURN = 200  # tenants between two breaths of the loop

Kept = dict[str, tuple[Tenant, tuple[Limit, ...]]]
"""Each tenant as last seen, and its plan's limits that the ledger explains."""


class LeftLimits:
    """One per host, in the shipper; hosts that share counters take the same away. ``turn`` may raise
    ``StoreUnavailable``: nothing is forgotten then, and the next turn tries again."""

    def __init__(self, counters: MmapCounterStore | RedisDesk, feed: StateFeed, clock: Clock) -> None:
        self._counters = counters
        self._feed = feed
        self._clock = clock
        before = feed.before() or feed.state  # what changed while nobody ran
        self._kept = _kept(before)
        self._routes = _routes(before.snapshot)
        self._seen: tuple[LiveState, int] | None = None
        self._left: list[tuple[int, Counter]] = []

    async def turn(self) -> int:
        """Note what left, and take away what left long enough ago; how many counters were."""
        now_us, state = self._clock.monotonic(), self._feed.state
        if self._seen is None or self._seen[0] is not state or self._seen[1] != state.sequence:
            self._left += [(now_us + APPLIED_US, counter) for counter in await self._lost(state)]
            self._seen = state, state.sequence
        due = [counter for due_us, counter in self._left if due_us <= now_us]
        if due:
            self._counters.drop(due)
            self._left = self._left[len(due) :]
            logger.info("counters of limits that are gone were taken away", extra={"counters": len(due)})
        return len(due)

    async def _lost(self, state: LiveState) -> list[Counter]:
        kept = _kept(state)
        changed = [name for name, was in self._kept.items() if _differs(was, kept.get(name))]
        lost: list[Counter] = []
        if changed:
            keys = defaultdict(list)
            for key in state.keys:
                keys[key.tenant].append(key.id)
            for number, name in enumerate(changed):
                lost += self._lost_of(name, kept, keys.get(name, []), _routes(state.snapshot))
                if number % _TURN == _TURN - 1:
                    await asyncio.sleep(0)
        self._kept, self._routes = kept, _routes(state.snapshot)
        return lost

    def _lost_of(self, name: str, kept: Kept, keys: list[str], routes: list[str]) -> list[Counter]:
        now_us = self._clock.now()
        stays = set()
        if name in kept:
            stays = {counter.key for counter in _counters(*kept[name], keys, routes, now_us)}
        found = {counter.key: counter for counter in _counters(*self._kept[name], keys, self._routes, now_us)}
        return [counter for key, counter in found.items() if key not in stays]


def _kept(state: LiveState) -> Kept:
    limits = {name: tuple(filter(is_seeded, plan.limits)) for name, plan in state.snapshot.plans.items()}
    return {tenant.id: (tenant, limits.get(tenant.plan, ())) for tenant in state.tenants.values()}


def _routes(snapshot: Snapshot) -> list[str]:
    return [route.name for route in snapshot.routes]


def _differs(was: tuple[Tenant, tuple[Limit, ...]], now: tuple[Tenant, tuple[Limit, ...]] | None) -> bool:
    """Whether counters may have been left behind."""
    if now is None:
        return True
    (old, old_limits), (new, limits) = was, now
    moved = old is not new and (old.timezone, old.anchor) != (new.timezone, new.anchor)
    return moved or (old_limits is not limits and old_limits != limits)


def _counters(
    tenant: Tenant, limits: tuple[Limit, ...], keys: list[str], routes: list[str], now_us: int
) -> Iterator[Counter]:
    """Every counter of a tenant's limits: once, or once a key, or once a route, as each says."""
    for limit in limits:
        chosen = [route for route in routes if not limit.routes or route in limit.routes]
        for route in chosen if "route" in limit.by else chosen[:1]:
            for key in keys if "key" in limit.by else [""]:
                yield from bind((limit,), {}, tenant, key, route).counters(now_us)
