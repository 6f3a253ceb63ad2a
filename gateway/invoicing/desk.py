"""The desk: everything that is done about invoices, for the job, the commands, the API and the pages."""

from dataclasses import replace
from datetime import datetime

from gateway.billing.items import CorrectionItem
from gateway.clock import MINUTE_US, SECOND_US
from gateway.invoicing.account import Account
from gateway.invoicing.composing import Composed
from gateway.invoicing.cycle import Context, cycle_items
from gateway.invoicing.loading import living_subscription, load_account, load_accounts
from gateway.invoicing.making import Making, put_invoice
from gateway.invoicing.office import InvoiceError
from gateway.invoicing.outcome import Outcome
from gateway.invoicing.running import JOB, RunDesk
from gateway.invoicing.steps import Now, compose_for, finalize_draft
from gateway.invoicing.subscribing import adopt
from gateway.invoicing.verifying import Verification, verify_invoice
from gateway.invoicing.what_if import WhatIfDesk, month_of, on_plan
from gateway.period import from_us, to_us
from gateway.storage import billing_schema as schema
from gateway.storage.billing import Books
from gateway.storage.billing_values import InvoiceRow, LineRow
from gateway.storage.ports import PLATFORM, Scope

DEAR_US = SECOND_US // 50
"""A preview that takes longer does not look for late usage each time."""


class Desk(RunDesk, WhatIfDesk):
    """Making, reading and verifying invoices."""

    async def preview(
        self, scope: Scope, tenant: str, *, plan: str = "", at: datetime | None = None
    ) -> tuple[Account, Composed]:
        """The invoice of the tenant's present cycle as it would be now, by its own prices or those of ``plan``.

        ``at`` within the cycle to look at. The same function makes the invoice.
        """
        now_us = self.clock.now()
        context = await self.context(now_us)
        await adopt(self.billing, Now(now_us, JOB), context, tenant)
        async with self.billing.read(scope) as books:
            account = await self.living(books, tenant)
            if plan:
                account = on_plan(account, plan, context)
            return account, await _preview(books, account, at or from_us(now_us), now_us, context)

    async def so_far(self, scope: Scope, tenant: str) -> tuple[Account, Composed] | None:
        """The preview for who only looks, again and again: it begins no subscription. None: the tenant has none.

        Where it is dear (months of many calls), late usage of earlier cycles is looked for once a minute.
        """
        now_us, began = self.clock.now(), self.clock.monotonic()
        context = await self.context(now_us)
        async with self.billing.read(scope) as books:
            row = await living_subscription(books, tenant)
            if row is None:
                return None
            (account,) = await load_accounts(books, [row])
            seen = (row.id, account.watermark, month_of(account, from_us(now_us)))
            known, until = self.punctual.get(tenant, (None, 0))
            if known == seen and began < until:
                account = replace(account, watermark=None)  # nothing was late
            composed = await _preview(books, account, from_us(now_us), now_us, context)
        now = self.clock.monotonic()
        late = any(isinstance(item, CorrectionItem) for item in composed.inputs.items)
        if account.watermark is not None and not late and now - began > DEAR_US:
            self.punctual[tenant] = seen, now + MINUTE_US
        return account, composed

    async def calculate(self, scope: Scope, tenant: str, actor: str) -> InvoiceRow:
        """Make or refresh the draft of the present cycle; it is never made final here."""
        now = Now(self.clock.now(), actor)
        tenant = scope.tenant or tenant
        context = await self.context(now.us)
        await adopt(self.billing, Now(now.us, JOB), context, tenant)
        async with self.billing.read(PLATFORM) as books:
            due = (await self.living(books, tenant)).row.id
        await self.advance(due, JOB, now.us)
        async with self.billing.read(PLATFORM) as books:
            account = await self.living(books, tenant)
            if account.closed_draft is not None:
                raise InvoiceError("the draft of the cycle before is not final yet; it is refreshed when it becomes so")
            cycle, watermark = month_of(account, from_us(now.us)), await books.watermark()
            items = await cycle_items(books, account, cycle, watermark, context)
            composed, outcome = compose_for(account, "cycle", cycle, items, watermark, now.us, context), Outcome()
            after_us = to_us(cycle.end) + context.settings.draft_grace_us
            made = put_invoice(
                outcome, account, composed, account.draft, Making(context.settings, now.us, actor, after_us)
            )
        await self.write([outcome], context)
        return made

    async def finalize(self, invoice: str, actor: str) -> InvoiceRow:
        """Make the draft of a closed cycle final before its grace is over."""
        now = Now(self.clock.now(), actor)
        context = await self.context(now.us)
        async with self.billing.read(PLATFORM) as books:
            row = await self.find(books, invoice)
            if row.state != "draft":
                raise InvoiceError(f"{row.number or row.id} is {row.state}, not a draft")
            account = await load_account(books, row.subscription)
            if account is None or account.closed_draft is None:
                raise InvoiceError(f"the period of {row.id} is not over yet")
            outcome = await finalize_draft(books, account, row, now, context)
        await self.write([outcome], context)
        return outcome.final[0][1]

    async def verify(self, scope: Scope, invoice: str) -> Verification:
        """Rate an invoice again, from what is stored beside it and the ledger at its watermark."""
        async with self.billing.read(scope) as books:
            return await verify_invoice(books, await self.find(books, invoice))

    async def invoices(
        self, scope: Scope, *, tenant: str = "", state: str = "", limit: int = 50, after: str | None = None
    ) -> list[InvoiceRow]:
        """Invoices, newest first; ``after`` is the id of the last one seen."""
        table = schema.invoices.c
        where = [table.id < after] if after else []
        where += [table.tenant == tenant] if tenant else []
        where += [table.state == state] if state else []
        async with self.billing.read(scope) as books:
            return await books.find(InvoiceRow, *where, order=(table.id.desc(),), limit=limit)

    async def invoice(self, scope: Scope, id: str) -> tuple[InvoiceRow, list[LineRow]]:
        """An invoice by its id or number, with its lines; raises ``InvoiceError`` when there is none in the scope."""
        async with self.billing.read(scope) as books:
            row = await self.find(books, id)
            table = schema.invoice_lines.c
            return row, await books.find(LineRow, table.invoice == row.id, order=(table.place,))


async def _preview(books: Books, account: Account, at: datetime, now_us: int, context: Context) -> Composed:
    """The invoice of the cycle that holds ``at``, of all that is posted."""
    cycle, watermark = month_of(account, at), await books.watermark()
    items = await cycle_items(books, account, cycle, watermark, context)
    return compose_for(account, "cycle", cycle, items, watermark, now_us, context)
