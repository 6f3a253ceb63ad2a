"""Live pages: one poller watches the ledger's posting sequence and wakes every listener (server-sent events).

The poller runs only while somebody listens. An event says that something changed; the page fetches itself anew, with
the session and the scope of its own, so that nothing is ever pushed to the wrong tenant.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable

from gateway.errors import GatewayError

POLL_SECONDS = 0.2
PAUSE_SECONDS = 0.4
PING_SECONDS = 15.0
MAX_LISTENERS = 500

logger = logging.getLogger(__name__)


class LiveHub:
    """Wakes listeners when the sequence moves. ``close`` ends them all and the poller."""

    def __init__(self, sequence: Callable[[], Awaitable[int]], poll_seconds: float = POLL_SECONDS) -> None:
        self._sequence = sequence
        self._poll_seconds = poll_seconds
        self._moved = asyncio.Condition()
        self._seen = 0
        self._listeners = 0
        self._poller: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def listeners(self) -> int:
        """How many pages listen."""
        return self._listeners

    @property
    def full(self) -> bool:
        """Whether another listener is one too many."""
        return self._closed or self._listeners >= MAX_LISTENERS

    async def events(self, ping_seconds: float = PING_SECONDS) -> AsyncGenerator[int | None, None]:
        """The sequence each time it moved, at most every ``PAUSE_SECONDS``; None every ``ping_seconds`` without."""
        self._listeners += 1
        try:
            if self._poller is None:
                self._seen = await self._sequence()
                if self._poller is None and not self._closed:
                    self._poller = asyncio.create_task(self._poll(), name="ui-live-poller")
            seen = self._seen
            while not self._closed:
                sequence = await self._wait(seen, ping_seconds)
                if self._closed:
                    return
                yield sequence if sequence != seen else None
                if sequence != seen:
                    await asyncio.sleep(PAUSE_SECONDS)
                seen = sequence
        finally:
            self._listeners -= 1
            if self._listeners == 0 and self._poller is not None:
                self._poller.cancel()
                self._poller = None

    async def _wait(self, seen: int, seconds: float) -> int:
        async with self._moved:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._moved.wait_for(lambda: self._seen != seen or self._closed)
        return self._seen

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(self._poll_seconds)
            try:
                sequence = await self._sequence()
            except GatewayError as error:  # the store is away: pages stand still and go on when it is back
                logger.warning("live pages: the store did not answer", extra={"error": str(error)})
                await asyncio.sleep(1)
                continue
            if sequence != self._seen:
                await self._wake(sequence)

    async def _wake(self, sequence: int) -> None:
        async with self._moved:
            self._seen = sequence
            self._moved.notify_all()

    async def close(self) -> None:
        """Let every listener finish."""
        self._closed = True
        poller, self._poller = self._poller, None
        if poller is not None:
            poller.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await poller
        async with self._moved:
            self._moved.notify_all()
