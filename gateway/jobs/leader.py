"""Which of several control processes runs the jobs: the one that holds a lease in the store and renews it in time."""

import asyncio
import contextlib
import logging
from typing import Protocol

from gateway.clock import SECOND_US, Clock
from gateway.errors import StoreUnavailable
from gateway.storage.ports import PLATFORM, Scope

logger = logging.getLogger(__name__)

NAME = "jobs"
LEASE_US = 15 * SECOND_US
RENEW_S = 5.0


class Leases(Protocol):
    """What the leader asks of the store."""

    async def take(self, scope: Scope, name: str, holder: str, now_us: int, until_us: int) -> bool: ...
    async def give_up(self, scope: Scope, name: str, holder: str) -> None: ...


class Leader:
    """One control process's view. The store judges the end of a lease by the time of whoever asks for it, so hosts'
    clocks must agree within seconds; jobs stand being run twice."""

    def __init__(self, leases: Leases, clock: Clock, holder: str) -> None:
        self._leases = leases
        self._clock = clock
        self._holder = holder
        self._until_us = 0

    @property
    def leads(self) -> bool:
        """Whether the lease is held now, by this process's own clock."""
        return self._clock.monotonic() < self._until_us

    async def renew(self) -> None:
        """Take or renew the lease; a store that does not answer lets it run out."""
        asked_us, led = self._clock.monotonic(), self.leads
        now_us = self._clock.now()
        try:
            held = await self._leases.take(PLATFORM, NAME, self._holder, now_us, now_us + LEASE_US)
        except StoreUnavailable as error:
            logger.warning("the jobs' lease is not renewed", extra={"reason": str(error)})
            return
        self._until_us = asked_us + LEASE_US if held else 0
        if held and not led:
            logger.info("this control process runs the jobs", extra={"holder": self._holder})
        elif led and not held:
            logger.warning("another control process runs the jobs", extra={"holder": self._holder})

    async def keep(self) -> None:
        """Renew until cancelled, then let another one go on at once."""
        try:
            while True:
                await asyncio.sleep(RENEW_S)
                await self.renew()
        finally:
            led, self._until_us = self.leads, 0
            if led:
                with contextlib.suppress(StoreUnavailable):
                    await self._leases.give_up(PLATFORM, NAME, self._holder)
