"""What would it cost: past usage by another plan, beside its own prices. Both are rated as invoices are."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from gateway.billing.subscription import State
from gateway.invoicing.account import Account
from gateway.invoicing.composing import Composed
from gateway.invoicing.cycle import Context, cycle_items
from gateway.invoicing.loading import living_subscription, load_accounts
from gateway.invoicing.office import InvoiceError, NotFound, Office
from gateway.invoicing.steps import compose_for
from gateway.money import EXACT
from gateway.period import Period, from_us, to_us
from gateway.storage import billing_schema as schema
from gateway.storage.billing import Books
from gateway.storage.billing_values import SubscriptionRow
from gateway.storage.ports import Scope

EVER_US = 1 << 62


@dataclass(frozen=True, slots=True)
class Comparison:
    """One tenant's month by its own prices and by those of another plan; credits and late usage are left out.

    ``plan`` is the tenant's own at the instant asked for: a month may have several, and ``now`` adds up all of them.
    """

    tenant: str
    plan: str
    period: Period
    now: Composed
    then: Composed

    @property
    def difference(self) -> Decimal | None:
        """What the other plan costs more, tax included; None: the plans have different currencies."""
        now, then = self.now.draft.totals.total, self.then.draft.totals.total
        return EXACT.subtract(then.amount, now.amount) if now.currency == then.currency else None


class WhatIfDesk(Office):
    """Questions; nothing is written but new versions of plans."""

    async def would_cost(
        self,
        scope: Scope,
        plan: str,
        *,
        tenant: str = "",
        at: datetime | None = None,
        limit: int = 50,
        after: str | None = None,
    ) -> list[Comparison]:
        """``plan`` on the month that holds ``at`` (the present one) of one tenant, or of all, by the tenant's id.

        ``after`` is the last tenant seen. Who was not served in that month is left out. Raises ``InvoiceError`` for a
        plan that there is not, ``NotFound`` for a tenant without subscription.
        """
        now_us = self.clock.now()
        context = await self.context(now_us)
        if context.catalogue.last(plan) is None:
            raise NotFound(f"there is no plan {plan}")
        async with self.billing.read(scope) as books:
            rows = await _subscribed(books, tenant or scope.tenant or "", at, limit, after)
            watermark = await books.watermark()
            return [
                await _compared(books, account, plan, at or from_us(now_us), watermark, now_us, context)
                for account in await load_accounts(books, rows)
            ]


def on_plan(account: Account, plan: str, context: Context) -> Account:
    """The account as if it had always been on the newest prices of another plan."""
    newest = context.catalogue.newest(context.settings.key(plan, account.row.tenant), EVER_US)
    if newest is None:
        raise InvoiceError(f"there is no plan {plan}")
    first = replace(account.phases[0], plan=plan, version=newest.version)
    row = replace(account.row, plan=plan, version=newest.version, change=None, pinned=True)
    return replace(account, row=row, phases=(first,), watermark=None, pending=())


def month_of(account: Account, at: datetime) -> Period:
    """The part of the month that holds ``at`` which the subscription serves."""
    month = account.schedule.month(max(at, from_us(account.begins_us)))
    start = max(month.start, from_us(account.begins_us))
    end = month.end if account.row.cancel_at_us is None else min(month.end, from_us(account.row.cancel_at_us))
    return Period(start, max(start, end))


async def _subscribed(
    books: Books, tenant: str, at: datetime | None, limit: int, after: str | None
) -> Sequence[SubscriptionRow]:
    if tenant:
        row = await living_subscription(books, tenant)
        if row is None:
            raise NotFound(f"tenant {tenant} has no subscription")
        return [row]
    table = schema.subscriptions.c
    where = [table.state != State.CANCELED]
    where += [table.start_us <= to_us(at)] if at else []
    where += [table.tenant > after] if after else []
    return await books.find(SubscriptionRow, *where, order=(table.tenant,), limit=limit)


async def _compared(
    books: Books, account: Account, plan: str, at: datetime, watermark: int, now_us: int, context: Context
) -> Comparison:
    account = replace(account, credits=(), pending=(), watermark=None)
    period = month_of(account, at)
    now, then = [
        compose_for(
            one, "cycle", period, await cycle_items(books, one, period, watermark, context), watermark, now_us, context
        )
        for one in (account, on_plan(account, plan, context))
    ]
    asked_us = min(max(to_us(at), to_us(period.start)), max(to_us(period.end) - 1, to_us(period.start)))
    return Comparison(account.row.tenant, account.phase(asked_us).plan, period, now, then)
