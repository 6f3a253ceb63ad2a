"""Room for this host's counters: a file that fills grows before anybody is refused for want of it (SEMANTICS §20)."""

import asyncio
import logging

from gateway.clock import SECOND_US, Clock
from gateway.config.snapshot import Snapshot
from gateway.counters.layout import Capacity
from gateway.counters.mmap_store import MmapCounterStore
from gateway.errors import StoreUnavailable
from gateway.runtime import counting

PAUSE_US = 30 * SECOND_US

logger = logging.getLogger(__name__)


class CounterRoom:
    """One per host, in the shipper; copies in a thread, with an opening of the file of its own."""

    def __init__(self, snapshot: Snapshot, clock: Clock) -> None:
        self._snapshot = snapshot
        self._clock = clock
        self._store: MmapCounterStore | None = None
        self._not_before_us = 0

    async def turn(self) -> bool:
        """Look once. False when the counters can't grow: they go on in the room they have, and it waits a while.

        A copy under way at the process's end is left as by a death: the generation in use stays whole.
        """
        if self._clock.monotonic() < self._not_before_us:
            return False
        try:
            grown = await asyncio.to_thread(self._grow)
        except StoreUnavailable as error:
            logger.error("the counters cannot grow", extra={"error": str(error)})
            self._not_before_us = self._clock.monotonic() + PAUSE_US
            return False
        if grown is not None:
            logger.info("the counters have more room", extra={"small": grown.small, "sliding": grown.sliding})
        return True

    def _grow(self) -> Capacity | None:
        if self._store is None:
            self._store = counting.open_host_counters(self._snapshot, self._clock)
        self._store.follow()
        return self._store.grow(counting.capacity_of(self._snapshot))
