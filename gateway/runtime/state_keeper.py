"""Keeps the published state equal to the store's tenants and keys, and the store's YAML-owned rows to the files."""

import logging

from gateway.clock import SECOND_US, Clock
from gateway.config.snapshot import Snapshot
from gateway.runtime.state_feed import StateFeed, StatePublisher
from gateway.storage.ports import PLATFORM
from gateway.storage.store import Store

logger = logging.getLogger(__name__)

BATCH = 1000
LOOK_BACK_US = 5 * SECOND_US
RESTORED = "the store's changes went back, as after a restored backup: its state is published anew"


class StateKeeper:
    """One per host, in the shipper (SEMANTICS §31). Every method raises ``StoreUnavailable`` when the store is down."""

    def __init__(self, store: Store, feed: StateFeed, publisher: StatePublisher, clock: Clock) -> None:
        self._store = store
        self._feed = feed
        self._publisher = publisher
        self._clock = clock
        self._synced: Snapshot | None = None
        self._look_back_us = 0
        self.started = False

    async def start(self) -> None:
        """Take the configuration's tenants and keys into the store, then publish everything."""
        await self._sync()
        await self._publish_all()
        self.started = True

    async def turn(self) -> bool:
        """Bring one round of changes to the workers; True when there was one."""
        self._feed.poll()
        if self._feed.snapshot is not self._synced:
            await self._sync()
        changes = await self._store.changes.since(PLATFORM, self._publisher.sequence, BATCH)
        if changes:
            if any(change.kind == "plan" for change in changes):
                self._publisher.publish_plans(await self._store.plans.current(PLATFORM))
            tenants, keys = await self._store.changes.load_changed(PLATFORM, changes)
            if not self._publisher.publish_delta(changes[-1].sequence, tenants, keys):
                await self._publish_all()
        elif await self._went_back():
            logger.warning(RESTORED)
            await self.start()
        self._publisher.alive(self._clock.now())
        return bool(changes)

    async def _went_back(self) -> bool:
        """Whether the store knows fewer changes than were published: those that it numbers again would be missed."""
        now_us = self._clock.monotonic()
        if now_us < self._look_back_us:
            return False
        self._look_back_us = now_us + LOOK_BACK_US
        return await self._store.changes.latest(PLATFORM) < self._publisher.sequence

    async def _sync(self) -> None:
        snapshot = self._feed.snapshot
        tenants = list(snapshot.tenants.values())
        await self._store.tenants.sync_yaml(PLATFORM, tenants, snapshot.keys, self._clock.now())
        self._synced = snapshot

    async def _publish_all(self) -> None:
        self._publisher.publish_plans(await self._store.plans.current(PLATFORM))
        state = await self._store.changes.load_state(PLATFORM)
        self._publisher.publish_state(state.sequence, state.tenants, state.keys)
        self._publisher.alive(self._clock.now())
