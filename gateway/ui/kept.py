"""Readings of the whole platform are the same for every operator: made once for all who look, and kept for a moment."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from gateway.clock import MINUTE_US, SECOND_US, Clock
from gateway.errors import GatewayError

Reading = TypeVar("Reading")

LONGEST_US = 2 * SECOND_US  # times go by although no call comes in
DEAR_US = SECOND_US // 10
FACTOR = 5
STALE_US = MINUTE_US
"""A dear reading up to this age is given at once while the next one is made."""

logger = logging.getLogger(__name__)


class Kept(Generic[Reading]):
    """One reading at a time. It is valid while ``version`` stands still, two seconds at most.

    A dear one (above 100 ms: thousands of tenants) is valid for five times as long as it took, whatever the version
    says, so that traffic and many viewers never keep the store busy. For a minute after that nobody waits for the next:
    who asks gets the present one, and live pages the next as soon as it is there. ``close`` awaits what is under way.
    """

    def __init__(
        self, clock: Clock, read: Callable[[], Awaitable[Reading]], version: Callable[[], Awaitable[int]]
    ) -> None:
        self._clock = clock
        self._read = read
        self._version = version
        self._lock = asyncio.Lock()
        self._kept: tuple[Reading, int, int, int] | None = None
        self._next: asyncio.Task[None] | None = None

    async def get(self) -> Reading:
        """The reading that is valid now."""
        if self._kept is not None and self._kept[3] > DEAR_US:
            reading, _, made, took = self._kept
            age = self._clock.monotonic() - made
            if age >= took * FACTOR and age < STALE_US and self._next is None:
                self._next = asyncio.create_task(self._renew(), name="kept reading")
            if age < max(took * FACTOR, STALE_US):
                return reading
        version = await self._version()
        async with self._lock:
            if self._kept is not None:
                reading, of_version, made, took = self._kept
                longest = LONGEST_US if version == of_version else 0
                if self._clock.monotonic() - made < max(longest, took * FACTOR if took > DEAR_US else 0):
                    return reading
            return await self._make(version)

    async def _make(self, version: int) -> Reading:
        began = self._clock.monotonic()
        reading = await self._read()
        made = self._clock.monotonic()
        self._kept = (reading, version, made, made - began)
        return reading

    async def _renew(self) -> None:
        try:
            async with self._lock:
                await self._make(await self._version())
        except GatewayError as error:  # the store is away: the present reading serves its minute
            logger.warning("a reading of the platform was not renewed", extra={"error": str(error)})
        finally:
            self._next = None

    async def close(self) -> None:
        """End what is being made."""
        task, self._next = self._next, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
