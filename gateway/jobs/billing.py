"""The billing job: begins subscriptions, closes cycles, makes invoices final, marks what is overdue.

It looks once a second whether anything is due or a tenant or the configuration changed: two indexed reads. Ten
processes doing so make each invoice once.
"""

import logging

from gateway.clock import MINUTE_US
from gateway.config.snapshot import Snapshot
from gateway.invoicing.following import BillingDesk
from gateway.storage.ports import PLATFORM

logger = logging.getLogger(__name__)

INTERVAL = 1.0

AGAIN_US = MINUTE_US
"""What failed is tried again, and everything looked through, so often."""


class BillingJob:
    """What is due in billing."""

    name = "billing"

    def __init__(self, desk: BillingDesk) -> None:
        self._desk = desk
        self._seen: tuple[Snapshot, int] | None = None
        self._ran_us = 0
        self._failed: list[str] = []

    async def run(self) -> None:
        """One round."""
        now_us, snapshot = self._desk.clock.now(), self._desk.snapshot()
        changes = await self._desk.store.changes.latest(PLATFORM)
        same = self._seen is not None and self._seen[0] is snapshot and self._seen[1] == changes
        if same and 0 <= now_us - self._ran_us < AGAIN_US:
            async with self._desk.billing.read(PLATFORM) as books:
                if not await books.due(now_us, self._failed):
                    return
        report = await self._desk.run()
        self._seen, self._ran_us, self._failed = (snapshot, changes), now_us, list(report.failed)
        if report.final or report.drafts or report.begun:
            made = {"subscriptions": report.begun, "drafts": report.drafts, "invoices": len(report.final)}
            logger.info("billed", extra=made)
