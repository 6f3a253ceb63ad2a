"""Payments by hand, write-offs, voiding with or without reissue, credit notes. Final invoices are never edited."""

from dataclasses import replace
from decimal import Decimal

from gateway.billing.invoice import InvoiceState, InvoiceTrigger, invoice_transition
from gateway.billing.numbering import format_number
from gateway.ids import new_id
from gateway.invoicing.account import Account
from gateway.invoicing.composing import compose_invoice, inputs_of
from gateway.invoicing.cycle import Context
from gateway.invoicing.desk import Desk
from gateway.invoicing.loading import load_account
from gateway.invoicing.making import people
from gateway.invoicing.office import InvoiceError
from gateway.invoicing.outcome import Outcome
from gateway.invoicing.steps import Now
from gateway.money import DIVIDING, EXACT, ZERO, exponent, plain, round_amount, settled
from gateway.storage import billing_schema as schema
from gateway.storage.billing import Books
from gateway.storage.billing_values import CreditNoteRow, CreditRow, DrawRow, InvoiceRow, PaymentRow, PendingRow
from gateway.storage.ports import PLATFORM, Scope
from gateway.storage.values import AuditEntry

MANUAL = "manual"
NOTE = "credit_note"


def remaining(invoice: InvoiceRow) -> Decimal:
    """What is still owed."""
    return max(ZERO, EXACT.subtract(Decimal(invoice.total), Decimal(invoice.paid)))


class PaymentDesk(Desk):
    """What happens to an invoice once it is final."""

    async def pay(
        self, invoice: str, actor: str, *, amount: Decimal | None = None, reference: str = "", provider: str = MANUAL
    ) -> InvoiceRow:
        """Record money that came in: all that is owed, or a part. The same reference twice is one payment.

        A tenant suspended for debt is served again as soon as nothing is overdue.
        """
        now = Now(self.clock.now(), actor)
        context = await self.context(now.us)
        async with self.billing.read(PLATFORM) as books:
            row = await self.find(books, invoice)
            before = await self._told(books, row, provider, reference)
            if before is not None:
                if amount is not None and Decimal(before.amount) != amount:
                    raise InvoiceError(f"{reference} was recorded before, with {before.amount} {before.currency}")
                return row
            account = await _account(books, row)
            paid = remaining(row) if amount is None else amount
            _check_amount(paid, row)
            outcome = Outcome()
            made = _credit(outcome, row, paid, now)
            id = new_id("pay", now.us)
            payment = PaymentRow(
                id, row.tenant, row.id, provider, reference or id, plain(paid), row.currency, now.us, actor
            )
            outcome.added.append(payment)
            detail = {"amount": payment.amount, "currency": row.currency, "reference": payment.reference}
            outcome.audits.append(AuditEntry(now.us, actor, "invoice.pay", row.id, row.tenant, detail))
            _look_again(outcome, account, now)
        await self.write([outcome], context)
        await self.advance(row.subscription, actor, now.us)
        return made

    async def payments(self, scope: Scope, invoice: str) -> list[PaymentRow]:
        """What came in for an invoice, oldest first."""
        async with self.billing.read(scope) as books:
            row = await self.find(books, invoice)
            return await books.find(
                PaymentRow, schema.payments.c.invoice == row.id, order=(schema.payments.c.at_us, schema.payments.c.id)
            )

    async def credits(self, scope: Scope, tenant: str) -> list[CreditRow]:
        """A tenant's credits, oldest first."""
        async with self.billing.read(scope) as books:
            return await books.find(CreditRow, schema.credits.c.tenant == tenant, order=(schema.credits.c.id,))

    async def grant(self, tenant: str, amount: Decimal, currency: str, actor: str, reason: str) -> CreditRow:
        """Give a tenant credit, which its next invoices use up."""
        now_us = self.clock.now()
        if amount <= 0 or amount != round_amount(amount, currency):
            raise InvoiceError(f"a credit is above zero and has at most {exponent(currency)} decimals")
        row = CreditRow(
            new_id("crd", now_us), tenant, currency, plain(amount), plain(amount), 0, now_us, None, f"given: {reason}"
        )
        detail = {"amount": row.amount, "currency": currency, "reason": reason}
        async with self.billing.write(PLATFORM) as books:
            if await books.tenant(tenant) is None:
                raise InvoiceError(f"there is no tenant {tenant}")
            await books.add([row])
            await books.audit([AuditEntry(now_us, actor, "credit.grant", row.id, tenant, detail)])
        return row

    async def write_off(self, invoice: str, actor: str) -> InvoiceRow:
        """Expect no more money for it. A later payment is still taken."""
        return await self._close(invoice, InvoiceTrigger.WRITE_OFF, actor, "invoice.write_off")

    async def void(self, invoice: str, actor: str, *, reissue: bool = False) -> InvoiceRow:
        """Take a wrong invoice back; with ``reissue`` another takes its place, by the terms of today.

        The new invoice charges the same usage at the same prices; seller, customer and taxes are those of now. Both
        name each other. An invoice on which money came in is corrected by a credit note instead.
        """
        now = Now(self.clock.now(), actor)
        context = await self.context(now.us)
        async with self.billing.read(PLATFORM) as books:
            row = await self.find(books, invoice)
            state = invoice_transition(InvoiceState(row.state), InvoiceTrigger.VOID)
            if Decimal(row.paid):
                raise InvoiceError(f"{row.number} was paid in part: make a credit note instead")
            account = await _account(books, row)
            outcome = Outcome()
            voided = replace(row, state=state, closed_us=now.us)
            draws = await books.find(DrawRow, schema.credit_draws.c.invoice == row.id)
            if reissue:
                made = _reissued(outcome, account, row, draws, now, context)
                voided = replace(voided, replaced_by=made.id)
            else:
                outcome.added += [_returned(draw, row, now) for draw in draws]
                claimed = await books.find(PendingRow, schema.pending_items.c.invoice == row.id)
                outcome.released += [pending.id for pending in claimed]
            outcome.replaced.append((row, voided))
            detail = {"replaced_by": voided.replaced_by or "-"}
            outcome.audits.append(AuditEntry(now.us, actor, "invoice.void", row.id, row.tenant, detail))
            _look_again(outcome, account, now)
        await self.write([outcome], context)
        await self.advance(row.subscription, actor, now.us)
        return outcome.final[0][1] if reissue else voided

    async def credit_note(
        self, invoice: str, actor: str, reason: str, *, amount: Decimal | None = None
    ) -> CreditNoteRow:
        """Give back ``amount`` (tax included; None: all that is left of it) of a final invoice.

        It lessens what is owed; what was paid already becomes credit. Its tax is the invoice's share of tax.
        """
        now = Now(self.clock.now(), actor)
        context = await self.context(now.us)
        prefix = f"{context.settings.prefix}-CN"
        async with self.billing.write(PLATFORM) as books:
            row = await self.find(books, invoice)
            if row.state not in ("open", "paid", "uncollectible"):
                raise InvoiceError(f"{row.number or row.id} is {row.state}: there is nothing to give back")
            notes = await books.find(CreditNoteRow, schema.credit_notes.c.invoice == row.id)
            left = Decimal(row.total)
            for note in notes:
                left = EXACT.subtract(left, Decimal(note.total))
            given = left if amount is None else amount
            if given <= 0 or given > left or given != round_amount(given, row.currency):
                raise InvoiceError(
                    f"a credit note on {row.number} is above zero and at most {plain(left)} {row.currency}"
                )
            tax = _tax_share(row, given)
            sequence = await books.take_numbers(prefix, 1)
            made = CreditNoteRow(
                new_id("crn", now.us), row.tenant, row.id, prefix, sequence, format_number(prefix, sequence),
                row.currency, plain(EXACT.subtract(given, tax)), plain(tax), plain(given), reason, now.us,
            )  # fmt: skip
            await books.add([made])
            await _apply_note(books, row, made, given, now)
            detail = {"number": made.number, "total": made.total, "currency": row.currency, "reason": reason}
            await books.audit([AuditEntry(now.us, actor, "invoice.credit_note", row.id, row.tenant, detail)])
        await self._revive(row.subscription, now)
        return made

    async def credit_notes(self, scope: Scope, invoice: str) -> list[CreditNoteRow]:
        """The credit notes on an invoice."""
        async with self.billing.read(scope) as books:
            row = await self.find(books, invoice)
            return await books.find(CreditNoteRow, schema.credit_notes.c.invoice == row.id)

    async def _close(self, invoice: str, trigger: InvoiceTrigger, actor: str, action: str) -> InvoiceRow:
        now = Now(self.clock.now(), actor)
        context = await self.context(now.us)
        async with self.billing.read(PLATFORM) as books:
            row = await self.find(books, invoice)
            account = await _account(books, row)
        outcome = Outcome()
        made = replace(row, state=invoice_transition(InvoiceState(row.state), trigger), closed_us=now.us)
        outcome.replaced.append((row, made))
        outcome.audits.append(AuditEntry(now.us, actor, action, row.id, row.tenant))
        _look_again(outcome, account, now)
        await self.write([outcome], context)
        await self.advance(row.subscription, actor, now.us)
        return made

    async def _revive(self, subscription: str, now: Now) -> None:
        """Let the subscription follow what its invoices say now."""
        context = await self.context(now.us)
        async with self.billing.read(PLATFORM) as books:
            account = await load_account(books, subscription)
        assert account is not None
        outcome = Outcome()
        _look_again(outcome, account, now)
        await self.write([outcome], context)
        await self.advance(subscription, now.actor, now.us)

    async def _told(self, books: Books, row: InvoiceRow, provider: str, reference: str) -> PaymentRow | None:
        table = schema.payments.c
        where = (table.invoice == row.id, table.provider == provider, table.reference == reference)
        return await books.one(PaymentRow, *where) if reference else None


async def _account(books: Books, row: InvoiceRow) -> Account:
    account = await load_account(books, row.subscription)
    assert account is not None, row.subscription
    return account


def _check_amount(paid: Decimal, row: InvoiceRow) -> None:
    if row.state not in ("open", "uncollectible"):
        raise InvoiceError(f"{row.number or row.id} is {row.state}: nothing is owed for it")
    if paid <= 0 or paid > remaining(row):
        raise InvoiceError(f"{plain(remaining(row))} {row.currency} are owed for {row.number}, not {plain(paid)}")
    if paid != round_amount(paid, row.currency):
        raise InvoiceError(f"{row.currency} has {exponent(row.currency)} decimals")


def _credit(outcome: Outcome, row: InvoiceRow, paid: Decimal, now: Now) -> InvoiceRow:
    """Take an amount off what is owed; when nothing is left, the invoice is paid."""
    made = replace(row, paid=plain(EXACT.add(Decimal(row.paid), paid)))
    if not remaining(made):
        made = replace(made, state=invoice_transition(InvoiceState(row.state), InvoiceTrigger.PAY), closed_us=now.us)
    outcome.replaced.append((row, made))
    return made


def _look_again(outcome: Outcome, account: Account, now: Now) -> None:
    outcome.replaced.append((account.row, replace(account.row, next_us=now.us)))


def _returned(draw: DrawRow, row: InvoiceRow, now: Now) -> CreditRow:
    """What a void invoice had taken of a credit comes back."""
    source = f"returned from {row.number}"
    return CreditRow(new_id("crd", now.us), row.tenant, row.currency, draw.amount, draw.amount, 0, now.us, None, source)


def _reissued(
    outcome: Outcome, account: Account, row: InvoiceRow, draws: list[DrawRow], now: Now, context: Context
) -> InvoiceRow:
    """The invoice that takes the place of ``row``: the same items, credits and watermark, so the same net amounts."""
    inputs = replace(inputs_of(row), rules=context.settings.tax_rules(row.tenant))
    composed = compose_invoice(inputs)
    made = replace(
        row,
        id=new_id("inv", now.us),
        state=invoice_transition(InvoiceState.DRAFT, composed.draft.finalizing),
        **composed.amounts,  # type: ignore[arg-type]
        document=composed.document(people(account, context.settings)),
        created_us=now.us,
        finalized_us=now.us,
        due_us=now.us + context.settings.due_us,
        closed_us=None,
        replaces=row.id,
        replaced_by=None,
        revision=0,
    )
    outcome.final.append((None, made))
    outcome.added += composed.lines(made.id)
    outcome.added += [replace(draw, invoice=made.id) for draw in draws]
    outcome.audits.append(
        AuditEntry(now.us, now.actor, "invoice.finalize", made.id, row.tenant, {"replaces": row.number or row.id})
    )
    return made


def _tax_share(row: InvoiceRow, given: Decimal) -> Decimal:
    total, tax = Decimal(row.total), Decimal(row.tax)
    if not tax or not total:
        return ZERO
    return round_amount(settled(DIVIDING.divide(EXACT.multiply(tax, given), total)), row.currency)


async def _apply_note(books: Books, row: InvoiceRow, note: CreditNoteRow, given: Decimal, now: Now) -> None:
    """What is owed shrinks first; the rest was paid, and becomes credit."""
    owed = remaining(row) if row.state in ("open", "uncollectible") else ZERO
    off = min(owed, given)
    if off:
        outcome = Outcome()
        _credit(outcome, row, off, now)
        for old, new in outcome.replaced:
            await books.replace(old, new)
        amount = plain(off)
        await books.add(
            [
                PaymentRow(
                    new_id("pay", now.us),
                    row.tenant,
                    row.id,
                    NOTE,
                    note.number,
                    amount,
                    row.currency,
                    now.us,
                    now.actor,
                )
            ]
        )
    if rest := EXACT.subtract(given, off):
        amount, source = plain(rest), f"credit note {note.number}"
        await books.add(
            [CreditRow(new_id("crd", now.us), row.tenant, row.currency, amount, amount, 0, now.us, None, source)]
        )
