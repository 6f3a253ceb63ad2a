"""How far back single calls are needed: not before what is finally invoiced, and never posted after it (SEMANTICS §28).

Seals stand for rows exactly, as long as no billing period begins and no invoice's watermark lies within one. So those
of the past are handed on as bounds, and what is still to be invoiced, or to be corrected, is not touched.
"""

import asyncio
from dataclasses import dataclass

from gateway.billing.items import CorrectionItem, UsageItem
from gateway.billing.subscription import State
from gateway.clock import Clock
from gateway.invoicing.account import Account
from gateway.invoicing.codec import item_from_json
from gateway.invoicing.loading import load_accounts
from gateway.metering.rollup import quarter_of
from gateway.period import to_us
from gateway.storage import billing_schema as schema
from gateway.storage.billing_values import InvoiceRow, SubscriptionRow
from gateway.storage.ports import PLATFORM, Scope
from gateway.storage.sealing import Bounds
from gateway.storage.store import Store


@dataclass(frozen=True, slots=True)
class Pruned:
    """What became, or would become, of a tenant's rows from before ``before_us``. ``held``: billing needs later ones
    that are old enough."""

    tenant: str
    before_us: int
    calls: int
    events: int
    held: bool


class RetentionDesk:
    """Decides and does it. Several may run at once; each transaction is whole by itself."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def run(self, keep_us: int, *, dry: bool = False) -> list[Pruned]:
        """Prune what is older than ``keep_us``; ``dry``: only say what would be."""
        now_us, ledger = self._clock.now(), self._store.ledger
        before_us = quarter_of(max(0, now_us - keep_us))
        found: list[Pruned] = []
        for tenant in await ledger.tenants_before(PLATFORM, before_us):
            bounds = await self.bounds(tenant, before_us)
            if dry:
                calls, events = await ledger.prunable(PLATFORM, bounds)
            else:
                calls, events = await self._prune(bounds, now_us)
            found.append(Pruned(tenant, bounds.before_us, calls, events, bounds.before_us < before_us))
        if not dry:
            await ledger.release_partitions(PLATFORM, before_us)
        return found

    async def bounds(self, tenant: str, before_us: int) -> Bounds:
        """What of a tenant may go."""
        if not tenant:
            return Bounds(tenant, before_us)
        scope = Scope(tenant)
        async with self._store.billing.read(scope) as books:
            subscriptions = await books.find(SubscriptionRow, schema.subscriptions.c.tenant == tenant)
            accounts = await load_accounts(books, subscriptions)
            invoices = await books.find(InvoiceRow, schema.invoices.c.tenant == tenant)
            return _bounds(tenant, before_us, accounts, invoices)

    async def _prune(self, bounds: Bounds, now_us: int) -> tuple[int, int]:
        ledger = self._store.ledger
        sums = [0, 0]
        for place, prune in enumerate((ledger.prune, ledger.prune_events)):
            while taken := await prune(PLATFORM, bounds, now_us):
                sums[place] += taken
                await asyncio.sleep(0)  # others have their turn between two transactions
        return sums[0], sums[1]


def _bounds(tenant: str, before_us: int, accounts: list[Account], invoices: list[InvoiceRow]) -> Bounds:
    posted: int | None = None
    for account in accounts:
        if account.row.state == State.CANCELED and account.draft is None:
            continue
        before_us = min(before_us, account.unbilled_us)
        if account.watermark is not None:  # later postings wait for a correction (SEMANTICS §29)
            posted = account.watermark if posted is None else min(posted, account.watermark)
    before_us = min([before_us, *(invoice.start_us for invoice in invoices if invoice.state == "draft")])
    instants = {phase.start_us for account in accounts for phase in account.phases}
    instants |= {us for invoice in invoices for us in _instants(invoice)}
    watermarks = sorted({invoice.watermark for invoice in invoices})
    return Bounds(tenant, quarter_of(before_us), posted, tuple(sorted(instants)), tuple(watermarks))


def _instants(invoice: InvoiceRow) -> list[int]:
    """Where the stretches of time begin and end whose usage an invoice counted."""

    found = [invoice.start_us, invoice.end_us]
    for stored in invoice.document["items"]:
        item = item_from_json(stored)
        item = item.item if isinstance(item, CorrectionItem) else item
        if isinstance(item, UsageItem):
            found += [to_us(item.served.start), to_us(item.served.end)]
    return found
