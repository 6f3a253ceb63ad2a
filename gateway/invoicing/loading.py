"""Reading accounts from the books, many at once."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import TypeVar

from gateway.invoicing.account import Account, TenantFacts
from gateway.storage import billing_schema as schema
from gateway.storage.billing import Books
from gateway.storage.billing_values import CreditRow, InvoiceRow, PendingRow, PhaseRow, SubscriptionRow
from gateway.storage.schema import tenants

Row = TypeVar("Row", PhaseRow, InvoiceRow, PendingRow)


async def load_accounts(books: Books, rows: Sequence[SubscriptionRow]) -> list[Account]:
    """The accounts of these subscriptions, in their order."""
    if not rows:
        return []
    ids = [row.id for row in rows]
    owners = [row.tenant for row in rows]
    phases = _grouped(
        await books.find(
            PhaseRow, schema.subscription_phases.c.subscription.in_(ids), order=(schema.subscription_phases.c.start_us,)
        )
    )
    drafting = (schema.state_among_few == "draft", schema.invoices.c.reason == "cycle")
    drafts = _grouped(await books.find(InvoiceRow, schema.invoices.c.subscription.in_(ids), *drafting))
    waiting = (schema.pending_items.c.subscription.in_(ids), schema.pending_items.c.invoice.is_(None))
    pending = _grouped(
        await books.find(PendingRow, *waiting, order=(schema.pending_items.c.created_us, schema.pending_items.c.id))
    )
    credits = defaultdict[str, list[CreditRow]](list)
    left = (schema.credits.c.tenant.in_(owners), schema.credits.c.remaining != "0")
    for credit in await books.find(CreditRow, *left, order=(schema.credits.c.id,)):
        credits[credit.tenant].append(credit)
    facts = {
        row["id"]: TenantFacts(
            row["name"], row["plan"], row["status"], row["status_reason"], row["source"], row["locale"]
        )
        for row in await books.tenants(tenants.c.id.in_(owners))
    }
    watermarks, oldest = await books.watermarks(ids), await books.oldest_due(ids)
    return [
        Account(
            row=row,
            phases=tuple(phases[row.id]),
            draft=next(iter(drafts[row.id]), None),
            pending=tuple(pending[row.id]),
            credits=tuple(credits[row.tenant]),
            watermark=watermarks.get(row.id),
            oldest_due_us=oldest.get(row.id),
            tenant=facts[row.tenant],
        )
        for row in rows
    ]


async def load_account(books: Books, subscription: str) -> Account | None:
    """One account, by the subscription's id."""
    rows = await books.find(SubscriptionRow, schema.subscriptions.c.id == subscription)
    found = await load_accounts(books, rows) if rows else []
    return found[0] if found else None


async def living_subscription(books: Books, tenant: str) -> SubscriptionRow | None:
    """The tenant's subscription, unless it is canceled."""
    table = schema.subscriptions.c
    return await books.one(SubscriptionRow, table.tenant == tenant, table.state != "canceled")


def _grouped(rows: Iterable[Row]) -> defaultdict[str, list[Row]]:
    found = defaultdict[str, list[Row]](list)
    for row in rows:
        found[row.subscription].append(row)
    return found
