"""Counters in Redis are projections of the ledger: a tenant is seeded once in each life of the server (SEMANTICS §21).

A tenant without a mark is refused or let pass by policy. Seeding agrees on an instant, the cut: once the ledger holds
every call from before it, their sums go into the counters and the mark says the cut. Calls from the cut on that were
let pass meanwhile are counted by their workers, which look at the same mark; so each call is in exactly one of the two.
A call from before the cut that is still open when the others have been waited for long enough is counted by its worker
when it ends: the mark says which those are.
"""

import logging
from collections.abc import Callable
from pathlib import Path

from gateway.clock import MINUTE_US, SECOND_US, Clock
from gateway.counters.redis_desk import RedisDesk
from gateway.counters.seeding import Notes, Unseeded, describe
from gateway.quotas.binding import bind
from gateway.quotas.counter import Counter
from gateway.runtime.seeding import LONGEST_WINDOW_US, PATIENCE_US, LedgerUse, is_seeded, ledger_rows
from gateway.runtime.state_feed import StateFeed
from gateway.storage.ports import PLATFORM
from gateway.storage.store import Store

LOOK_AGAIN_US = 5 * SECOND_US
NEVER_US = 1 << 52

logger = logging.getLogger(__name__)


class RedisSeeder:
    """One per host, in the shipper. Raises ``StoreUnavailable`` when ledger or Redis do not answer.

    ``caught_up`` tells when the shipper last stood at the spool's end; ``host`` is this one's id.
    """

    def __init__(
        self,
        desk: RedisDesk,
        store: Store,
        feed: StateFeed,
        clock: Clock,
        notes: Path,
        caught_up: Callable[[], int],
        host: str = "",
    ) -> None:
        self._desk = desk
        self._ledger = store.ledger
        self._feed = feed
        self._clock = clock
        self._notes = Notes(notes)
        self._caught_up = caught_up
        self._cuts: dict[tuple[str, str], int] = {}  # of those that wait to be seeded
        self._host = host
        self._seeded: set[tuple[str, str]] = set()  # (epoch, tenant)
        self._look_again_us = 0

    @property
    def is_fresh(self) -> bool:
        """Whether tenants have no counters in this life of the server, so that theirs must be rebuilt."""
        return bool(self._missing())

    def start_anew(self) -> None:
        """The counters were taken away: nothing is known of any tenant."""
        self._seeded.clear()

    async def rebuild(self) -> int:
        """Seed them from what the ledger has now; before the workers accept. Calls of other hosts are waited for."""
        since_us = self._clock.now() - MINUTE_US
        marks = await self._ledger.hosts(PLATFORM)
        return await self.turn(wait=any(mark.host != self._host and mark.reported_us >= since_us for mark in marks))

    async def turn(self, *, wait: bool = True) -> int:
        """Seed the tenants that are not, then the counters that a configuration change created."""
        return await self._tenants(wait) + await self._new_counters(wait)

    async def _tenants(self, wait: bool) -> int:
        missing = self._missing()
        self._cuts = {name: self._cuts[name] for name in missing if name in self._cuts}
        if not missing:
            return 0
        now_us = max(self._desk.now(), self._clock.now())
        if wait:  # a whole second: what was let pass in one second may be owed as a sum
            now_us = -(-now_us // SECOND_US) * SECOND_US
        for epoch, tenant in missing:
            if (epoch, tenant) not in self._cuts and (cut_us := self._desk.agree(tenant, now_us)):
                self._cuts[epoch, tenant] = cut_us
        seeded = 0
        for cut_us in sorted(set(self._cuts.values())):
            late_us = await self._late_from(cut_us) if wait else NEVER_US
            if late_us:
                tenants = {tenant for (_, tenant), cut in self._cuts.items() if cut == cut_us}
                seeded += await self._seed_tenants(tenants, cut_us, late_us)
        return seeded

    async def _seed_tenants(self, tenants: set[str], cut_us: int, late_us: int) -> int:
        counters = await self._counters(tenants, cut_us)
        use = LedgerUse(self._ledger)
        for counter, note in counters:
            self._desk.seed(note, counter, await use.rows(note), how=b"make")
        for tenant in tenants:
            self._desk.mark(tenant, cut_us, late_us)
        self._cuts = {name: cut for name, cut in self._cuts.items() if name[1] not in tenants}
        logger.warning("counters in redis rebuilt", extra={"tenants": len(tenants), "counters": len(counters)})
        return len(counters)

    async def _late_from(self, cut_us: int) -> int:
        """From when on a call's end is news to the ledger if the call began before the cut; 0: it is to be waited for.

        Once no such call is open, never.
        """
        if await self._ledger.complete_until(PLATFORM) >= cut_us:
            return NEVER_US
        caught_up_us = self._caught_up()
        return caught_up_us if cut_us < caught_up_us - PATIENCE_US else 0

    def _missing(self) -> list[tuple[str, str]]:
        """The tenants that have limits and are not known to be seeded, each with the epoch of its node."""
        snapshot, now_us = self._feed.snapshot, self._clock.monotonic()
        if now_us >= self._look_again_us:  # a server can be emptied without another life beginning (FLUSHALL)
            self._look_again_us = now_us + LOOK_AGAIN_US
            self._seeded.clear()
        unsure: list[tuple[str, str]] = []
        for tenant in self._feed.tenants.values():
            plan = snapshot.plans.get(tenant.plan)
            if plan is not None and plan.limits:
                name = (self._desk.epoch(tenant.id), tenant.id)
                if name not in self._seeded:
                    unsure.append(name)
        found = self._desk.is_seeded([tenant for _, tenant in unsure])
        self._seeded.update(name for name, known in zip(unsure, found, strict=True) if known)
        return [name for name, known in zip(unsure, found, strict=True) if not known]

    async def _is_complete(self, until_us: int) -> bool:
        """Whether the ledger holds all calls from before an instant; five seconds after this host's spool was shipped
        it is taken for true."""
        return bool(await self._late_from(until_us))

    async def _counters(self, tenants: set[str], cut_us: int) -> list[tuple[Counter, Unseeded]]:
        """Every counter of these tenants that the ledger knows usage for."""
        found: dict[bytes, tuple[Counter, Unseeded]] = {}
        for tenant_id, key, route in await self._ledger.active_scopes(PLATFORM, cut_us - LONGEST_WINDOW_US):
            tenant = self._feed.tenants.get(tenant_id)
            plan = self._feed.snapshot.plans.get(tenant.plan) if tenant is not None else None
            if tenant is None or plan is None or tenant_id not in tenants:
                continue
            limits = [limit for limit in plan.limits if is_seeded(limit)]
            for counter in bind(limits, tenant.limits, tenant, key, route).counters(cut_us):
                note = describe(counter, cut_us)
                if note is not None:
                    found.setdefault(counter.key, (counter, note))
        return list(found.values())

    async def _new_counters(self, wait: bool) -> int:
        notes, size = self._notes.read()
        if not notes:
            return 0
        seeded, waiting = 0, []
        for note in notes:
            if wait and not await self._is_complete(note.created_us):
                waiting.append(note)
                continue
            seeded += self._desk.seed(note, None, await ledger_rows(self._ledger, note))
        self._notes.keep(waiting, size)
        if seeded:
            logger.info("counters seeded from the ledger", extra={"counters": seeded})
        return seeded
