"""The retention job: calls and events that are old enough give way to their seals, an hour's worth at a time."""

import logging
from collections.abc import Callable

from gateway.config.snapshot import Snapshot
from gateway.invoicing.retention import RetentionDesk

logger = logging.getLogger(__name__)

INTERVAL = 3600.0


class RetentionJob:
    """What is old enough by ``calls.keep``."""

    name = "retention"

    def __init__(self, desk: RetentionDesk, snapshot: Callable[[], Snapshot]) -> None:
        self._desk = desk
        self._snapshot = snapshot

    async def run(self) -> None:
        """One round."""
        keep_us = self._snapshot().calls_keep_us
        if keep_us is None:
            return
        pruned = await self._desk.run(keep_us)
        calls, events = sum(one.calls for one in pruned), sum(one.events for one in pruned)
        if calls or events:
            logger.info("pruned", extra={"calls": calls, "events": events, "tenants": len(pruned)})
