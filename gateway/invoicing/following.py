"""Subscriptions that follow their tenants: the configuration changed a plan or seats, or a tenant was closed."""

from gateway.errors import StoreUnavailable
from gateway.invoicing.changing import Target
from gateway.invoicing.office import InvoiceError
from gateway.invoicing.running import JOB, RunReport
from gateway.invoicing.subscriptions import SubscriptionDesk
from gateway.storage.billing_rows import Moved
from gateway.storage.engine import Conflict
from gateway.storage.ports import PLATFORM

CONFIGURATION = "configuration"


class BillingDesk(SubscriptionDesk):
    """All of billing: invoices, payments, subscriptions, and what becomes of them as tenants change."""

    async def run(self, actor: str = JOB, at_us: int | None = None) -> RunReport:
        """Do all that is due, and what the configuration asks for since it changed."""
        report = await super().run(actor, at_us)
        await self._follow(report)
        return report

    async def _follow(self, report: RunReport) -> None:
        """End the subscriptions of closed tenants; change those whose plan, cycle or seats the configuration changed.

        What a closed tenant used until now is billed (SEMANTICS §32, §36).
        """
        settings = (await self.context()).settings
        async with self.billing.read(PLATFORM) as books:
            found = await books.out_of_step(settings.seats())
        for row, tenant in found:
            target = Target(tenant["plan"], tenant["billing_cycle"], settings.terms(row.tenant).quantity)
            try:
                if tenant["status"] == "closed":
                    if row.cancel_at_us is None or row.cancel_at_us > self.clock.now():
                        await self.cancel(row.tenant, CONFIGURATION if tenant["source"] == "yaml" else JOB, now=True)
                elif (row.plan, row.cycle, row.quantity) != (target.plan, target.cycle, target.quantity):
                    await self.change(row.tenant, target, CONFIGURATION, by_config=True)
            except StoreUnavailable:
                raise
            except (InvoiceError, Moved, Conflict) as error:
                report.failed[row.id] = str(error)
