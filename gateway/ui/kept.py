"""Readings of the whole platform are the same for every operator: made once for all who look, and kept for a moment."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from gateway.clock import SECOND_US, Clock

Reading = TypeVar("Reading")

LONGEST_US = 2 * SECOND_US  # times go by although no call comes in
DEAR_US = SECOND_US // 10
FACTOR = 5


class Kept(Generic[Reading]):
    """One reading at a time. It is valid while ``version`` stands still, two seconds at most.

    A dear one (above 100 ms: thousands of tenants) is valid for five times as long as it took, whatever the version
    says, so that traffic and many viewers never keep the store busy.
    """

    def __init__(
        self, clock: Clock, read: Callable[[], Awaitable[Reading]], version: Callable[[], Awaitable[int]]
    ) -> None:
        self._clock = clock
        self._read = read
        self._version = version
        self._lock = asyncio.Lock()
        self._kept: tuple[Reading, int, int, int] | None = None

    async def get(self) -> Reading:
        """The reading that is valid now."""
        version = await self._version()
        async with self._lock:
            began = self._clock.monotonic()
            if self._kept is not None:
                reading, of_version, made, took = self._kept
                longest = LONGEST_US if version == of_version else 0
                if began - made < max(longest, took * FACTOR if took > DEAR_US else 0):
                    return reading
            reading = await self._read()
            made = self._clock.monotonic()
            self._kept = (reading, version, made, made - began)
            return reading
