"""The billing job: begins subscriptions, closes cycles, makes invoices final, marks what is overdue.

It looks every ten seconds at what is due, which is one indexed query; ten processes doing so make each invoice once.
"""

import logging

from gateway.invoicing.subscriptions import BillingDesk

logger = logging.getLogger(__name__)

INTERVAL = 10.0


class BillingJob:
    """What is due in billing."""

    name = "billing"

    def __init__(self, desk: BillingDesk) -> None:
        self._desk = desk

    async def run(self) -> None:
        """One round."""
        report = await self._desk.run()
        if report.final or report.drafts or report.begun:
            made = {"subscriptions": report.begun, "drafts": report.drafts, "invoices": len(report.final)}
            logger.info("billed", extra=made)
