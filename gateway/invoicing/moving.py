"""Which subscriptions move to another version of their plan's prices, and when (SEMANTICS §17). Nothing is written."""

from dataclasses import dataclass

from gateway.billing.subscription import State
from gateway.invoicing.account import Account
from gateway.invoicing.loading import load_accounts
from gateway.invoicing.settings import BillingSettings
from gateway.period import from_us, to_us
from gateway.storage import billing_schema as schema
from gateway.storage.billing import Billing
from gateway.storage.billing_values import SubscriptionRow
from gateway.storage.ports import PLATFORM

PAGE = 500


@dataclass(frozen=True, slots=True)
class Move:
    """One subscription that will be on ``newest`` from ``at_us`` on."""

    tenant: str
    plan: str
    version: str
    newest: str
    at_us: int


async def moves(billing: Billing, settings: BillingSettings, now_us: int) -> list[Move]:
    """By the configuration of ``settings``, whether or not it was ever loaded; by tenant."""
    table, known, found = schema.subscriptions.c, set(settings.plans()), list[Move]()
    after = ""
    while True:
        async with billing.read(PLATFORM) as books:
            where = (table.state != State.CANCELED, table.tenant > after)
            rows = await books.find(SubscriptionRow, *where, order=(table.tenant,), limit=PAGE)
            accounts = await load_accounts(books, rows)
        for account in accounts:
            row = account.row
            if row.pinned or row.cancel_at_us is not None or row.change is not None or row.plan not in known:
                continue
            newest = settings.plan(row.plan, row.tenant).version
            if newest != row.version:
                found.append(Move(row.tenant, row.plan, row.version, newest, _renews_us(account, now_us)))
        if len(rows) < PAGE:
            return found
        after = rows[-1].tenant


def _renews_us(account: Account, now_us: int) -> int:
    """When the period ends for which its prices hold."""
    moment = from_us(max(now_us, account.begins_us))
    yearly = account.phase(now_us).cycle == "year"
    return to_us((account.schedule.year(moment) if yearly else account.schedule.month(moment)).end)
