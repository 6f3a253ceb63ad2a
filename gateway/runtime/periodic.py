"""Work that a process does again and again."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

logger = logging.getLogger(__name__)


async def every(interval: float, work: Callable[[], Awaitable[object]]) -> None:
    """Do ``work`` again and again; a failure is logged and does not end the round."""
    while True:
        await asyncio.sleep(interval)
        try:
            await work()
        except Exception:
            logger.exception("periodic work failed")
