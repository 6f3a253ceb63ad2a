"""Work that a process does again and again."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

logger = logging.getLogger(__name__)

RETRY = 0.1
"""A pause after a failure, where the work's own interval is none."""


async def every(interval: float, work: Callable[[], Awaitable[object]]) -> None:
    """Do ``work`` again and again; a failure does not end the round, and a series of them is logged once."""
    failures = 0
    while True:
        await asyncio.sleep(interval)
        try:
            await work()
        except Exception:
            if not failures:
                logger.exception("periodic work failed")
            failures += 1
            await asyncio.sleep(RETRY)
        else:
            if failures:
                logger.warning("periodic work goes on", extra={"failures": failures})
            failures = 0
