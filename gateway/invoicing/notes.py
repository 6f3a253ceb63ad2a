"""What corrects a final invoice: write-offs, voiding with or without reissue, credit notes, refunds. None is edited."""

import logging
from dataclasses import replace
from decimal import Decimal

from gateway.billing.invoice import InvoiceState, InvoiceTrigger, invoice_transition
from gateway.billing.numbering import format_number
from gateway.billing.payment import PaymentState
from gateway.ids import new_id
from gateway.invoicing.account import Account
from gateway.invoicing.composing import compose_invoice, inputs_of
from gateway.invoicing.cycle import Context
from gateway.invoicing.loading import load_account
from gateway.invoicing.making import people
from gateway.invoicing.office import InvoiceError, NotFound
from gateway.invoicing.outcome import Outcome
from gateway.invoicing.payments import (
    REFUND,
    PaymentDesk,
    account_of,
    credit_row,
    demand_of,
    look_again,
    remaining,
    take_off,
)
from gateway.invoicing.steps import Now
from gateway.money import DIVIDING, EXACT, ZERO, plain, round_amount, settled
from gateway.payments.manual import MANUAL
from gateway.payments.ports import ProviderError
from gateway.storage import billing_schema as schema
from gateway.storage.billing import Books
from gateway.storage.billing_values import CreditNoteRow, DrawRow, InvoiceRow, PaymentRow, PendingRow
from gateway.storage.ports import PLATFORM, Scope
from gateway.storage.values import AuditEntry

NOTE = "credit_note"
logger = logging.getLogger(__name__)


class NoteDesk(PaymentDesk):
    """What happens to a final invoice that is wrong, or not paid."""

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
            account = await account_of(books, row)
            outcome = Outcome()
            voided = replace(row, state=state, closed_us=now.us)
            draws = await books.find(DrawRow, schema.credit_draws.c.invoice == row.id)
            if reissue:
                made = _reissued(outcome, account, row, draws, now, context)
                voided = replace(voided, replaced_by=made.id)
            else:
                source = f"returned from {row.number}"
                outcome.added += [credit_row(row, Decimal(draw.amount), source, now) for draw in draws]
                claimed = await books.find(PendingRow, schema.pending_items.c.invoice == row.id)
                outcome.released += [pending.id for pending in claimed]
            outcome.replaced.append((row, voided))
            detail = {"replaced_by": voided.replaced_by or "-"}
            outcome.audits.append(AuditEntry(now.us, actor, "invoice.void", row.id, row.tenant, detail))
            look_again(outcome, account, now)
        await self.write([outcome], context)
        await self.advance(row.subscription, actor, now.us)
        return outcome.final[0][1] if reissue else voided

    async def credit_note(
        self,
        invoice: str,
        actor: str,
        reason: str,
        *,
        amount: Decimal | None = None,
        refund: bool = False,
        reference: str = "",
    ) -> CreditNoteRow:
        """Give back ``amount`` (tax included; None: all that is left of it) of a final invoice.

        It lessens what is owed; what was paid already becomes credit, or with ``refund`` goes back to who paid it. Its
        tax is the invoice's share of tax.
        """
        now = Now(self.clock.now(), actor)
        context = await self.context(now.us)
        prefix = f"{context.settings.prefix}-CN"
        async with self.billing.write(PLATFORM) as books:
            row = await self.find(books, invoice)
            given, tax = await _to_give(books, row, amount)
            sequence = await books.take_numbers(prefix, 1)
            made = CreditNoteRow(
                new_id("crn", now.us), row.tenant, row.id, prefix, sequence, format_number(prefix, sequence),
                row.currency, plain(EXACT.subtract(given, tax)), plain(tax), plain(given), reason, now.us,
            )  # fmt: skip
            await books.add([made])
            back = await _apply_note(books, row, made, now, refund=refund, reference=reference)
            detail = {"number": made.number, "total": made.total, "currency": row.currency, "reason": reason}
            if back is not None:
                detail |= {"refund": back.amount, "payment": back.id}
            await books.audit([AuditEntry(now.us, actor, "invoice.credit_note", row.id, row.tenant, detail)])
        if back is not None:
            await self._send_back(row, back, actor)
        await self._revive(row.subscription, now)
        return made

    async def note(self, scope: Scope, id: str) -> tuple[CreditNoteRow, InvoiceRow]:
        """A credit note by its id or number, and the invoice that it corrects; raises ``NotFound``."""
        table = schema.credit_notes.c
        async with self.billing.read(scope) as books:
            found = await books.one(CreditNoteRow, (table.id == id) | (table.number == id))
            if found is None:
                raise NotFound(f"there is no credit note {id}")
            return found, await self.find(books, found.invoice)

    async def all_notes(
        self, scope: Scope, *, tenant: str = "", limit: int = 50, after: str | None = None
    ) -> list[CreditNoteRow]:
        """Credit notes, newest first; ``after`` is the id of the last one seen."""
        table = schema.credit_notes.c
        where = [table.id < after] if after else []
        where += [table.tenant == tenant] if tenant else []
        async with self.billing.read(scope) as books:
            return await books.find(CreditNoteRow, *where, order=(table.id.desc(),), limit=limit)

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
            account = await account_of(books, row)
        outcome = Outcome()
        made = replace(row, state=invoice_transition(InvoiceState(row.state), trigger), closed_us=now.us)
        outcome.replaced.append((row, made))
        outcome.audits.append(AuditEntry(now.us, actor, action, row.id, row.tenant))
        look_again(outcome, account, now)
        await self.write([outcome], context)
        await self.advance(row.subscription, actor, now.us)
        return made

    async def _send_back(self, row: InvoiceRow, back: PaymentRow, actor: str) -> None:
        """Let the provider give the money back; one that fails or answers later leaves the refund pending."""
        try:
            attempt = await self.providers[back.provider].refund(demand_of(row, back))
        except ProviderError as error:
            logger.warning("a refund waits", extra={"payment": back.id, "reason": str(error)})
            return
        await self._heard(back, attempt, actor)

    async def _revive(self, subscription: str, now: Now) -> None:
        """Let the subscription follow what its invoices say now."""
        context = await self.context(now.us)
        async with self.billing.read(PLATFORM) as books:
            account = await load_account(books, subscription)
        assert account is not None
        outcome = Outcome()
        look_again(outcome, account, now)
        await self.write([outcome], context)
        await self.advance(subscription, now.actor, now.us)


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


async def _to_give(books: Books, row: InvoiceRow, amount: Decimal | None) -> tuple[Decimal, Decimal]:
    """How much a new note gives back, and its share of the tax; the last note takes what rounding left of it."""
    if row.state not in ("open", "paid", "uncollectible"):
        raise InvoiceError(f"{row.number or row.id} is {row.state}: there is nothing to give back")
    left, tax_left = Decimal(row.total), Decimal(row.tax)
    for note in await books.find(CreditNoteRow, schema.credit_notes.c.invoice == row.id):
        left, tax_left = EXACT.subtract(left, Decimal(note.total)), EXACT.subtract(tax_left, Decimal(note.tax))
    given = left if amount is None else amount
    if given <= 0 or given > left or given != round_amount(given, row.currency):
        raise InvoiceError(f"a credit note on {row.number} is above zero and at most {plain(left)} {row.currency}")
    return given, tax_left if given == left else min(_tax_share(row, given), tax_left)


def _tax_share(row: InvoiceRow, given: Decimal) -> Decimal:
    total, tax = Decimal(row.total), Decimal(row.tax)
    if not tax or not total:
        return ZERO
    return round_amount(settled(DIVIDING.divide(EXACT.multiply(tax, given), total)), row.currency)


async def _apply_note(
    books: Books, row: InvoiceRow, note: CreditNoteRow, now: Now, *, refund: bool, reference: str
) -> PaymentRow | None:
    """What is owed shrinks first; the rest was paid, and becomes credit or a refund, which is returned."""
    given = Decimal(note.total)
    owed = remaining(row) if row.state in ("open", "uncollectible") else ZERO
    off = min(owed, given)
    if off:
        outcome = Outcome()
        take_off(outcome, row, off, now)
        for old, new in outcome.replaced:
            await books.replace(old, new)
        await books.add([_movement(row, NOTE, note.number, off, now)])
    rest = EXACT.subtract(given, off)
    if not rest:
        return None
    if not refund:
        await books.add([credit_row(row, rest, f"credit note {note.number}", now)])
        return None
    provider = await _paid_by(books, row)
    back = replace(
        _movement(row, provider, reference or note.number, rest, now), kind=REFUND, status=PaymentState.PENDING,
        settled_us=None, settled_by="",
    )  # fmt: skip
    await books.add([back])
    return back


def _movement(row: InvoiceRow, provider: str, reference: str, amount: Decimal, now: Now) -> PaymentRow:
    return PaymentRow(
        new_id("pay", now.us), row.tenant, row.id, provider, reference, plain(amount), row.currency, now.us, now.actor,
        settled_us=now.us, settled_by=now.actor,
    )  # fmt: skip


async def _paid_by(books: Books, row: InvoiceRow) -> str:
    """The provider that took the last payment."""
    table = schema.payments.c
    came = (table.invoice == row.id, table.kind == "payment", table.status == PaymentState.SUCCEEDED)
    found = await books.find(PaymentRow, *came, table.provider != NOTE, order=(table.at_us, table.id))
    return found[-1].provider if found else MANUAL
