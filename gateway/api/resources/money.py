"""Payments, credit notes and credits: what becomes of invoices that are final."""

from decimal import Decimal

from gateway.api.operation import Allowed, Call, Handler, Operation, Reply
from gateway.api.problems import ApiError, FieldError
from gateway.api.resources.billing import invoice_of
from gateway.api.resources.billing_views import CreditNoteView, InvoiceView, PaymentView
from gateway.api.resources.money_views import (
    ConfirmRequest,
    CreditList,
    CreditNoteList,
    CreditNoteRequest,
    CreditRequest,
    CreditView,
    PaidInvoice,
    PaymentList,
    PaymentQuery,
    PayRequest,
    RejectRequest,
    SettledPayment,
)
from gateway.api.values import PageQuery
from gateway.invoicing.forms import MEDIA_TYPES, Form, render_note_aside
from gateway.invoicing.settings import BillingSettings
from gateway.money import MoneyError, exponent


async def pay(call: Call) -> Reply:
    given, row, desk = call.body(PayRequest), await invoice_of(call), call.services.billing
    amount, actor = _decimal(given.amount), call.user.id
    if call.user.tenant is not None:  # who owes announces; who is owed confirms
        if given.credit_excess:
            raise ApiError("invalid", errors=(FieldError("credit_excess", "is for the operator, who sees the money"),))
        found = await desk.announce(call.scope, row.id, actor, amount=amount, reference=given.reference)
        return Reply(PaidInvoice.with_payment(found.invoice, found.payment, found.instructions))
    made = await desk.pay(row.id, actor, amount=amount, reference=given.reference, credit_excess=given.credit_excess)
    recorded = await desk.payments(call.scope, row.id)
    last = next((one for one in reversed(recorded) if given.reference in ("", one.reference)), None)
    return Reply(PaidInvoice.with_payment(made, last, ()))


async def list_payments(call: Call) -> Reply:
    query = call.query(PaymentQuery)
    rows = await call.services.billing.all_payments(
        call.scope, status=query.status or "", limit=query.limit + 1, after=query.after
    )
    more = rows[query.limit - 1].id if len(rows) > query.limit else None
    return Reply(PaymentList(data=[PaymentView.of(row) for row in rows[: query.limit]], next=more))


async def confirm(call: Call) -> Reply:
    given, desk = call.body(ConfirmRequest), call.services.billing
    payment, row = await desk.confirm(
        await _payment(call), call.user.id, amount=_decimal(given.amount), credit_excess=given.credit_excess
    )
    return Reply(SettledPayment(payment=PaymentView.of(payment), invoice=InvoiceView.of(row)))


async def reject(call: Call) -> Reply:
    given, desk = call.body(RejectRequest), call.services.billing
    payment, row = await desk.reject(await _payment(call), call.user.id, reason=given.reason)
    return Reply(SettledPayment(payment=PaymentView.of(payment), invoice=InvoiceView.of(row)))


async def write_off(call: Call) -> Reply:
    row = await invoice_of(call)
    return Reply(InvoiceView.of(await call.services.billing.write_off(row.id, call.user.id)))


async def credit_note(call: Call) -> Reply:
    given, row = call.body(CreditNoteRequest), await invoice_of(call)
    made = await call.services.billing.credit_note(
        row.id, call.user.id, given.reason, amount=_decimal(given.amount), refund=given.refund,
        reference=given.reference,
    )  # fmt: skip
    return Reply(CreditNoteView.of(made))


async def list_notes(call: Call) -> Reply:
    query = call.query(PageQuery)
    rows = await call.services.billing.all_notes(call.scope, limit=query.limit + 1, after=query.after)
    more = rows[query.limit - 1].id if len(rows) > query.limit else None
    return Reply(CreditNoteList(data=[CreditNoteView.of(row) for row in rows[: query.limit]], next=more))


async def get_note(call: Call) -> Reply:
    return Reply(CreditNoteView.of((await call.services.billing.note(call.scope, call.params["note"]))[0]))


def note_as(form: Form) -> Handler:
    """The handler that answers with a credit note as a document."""

    async def document(call: Call) -> Reply:
        note, row = await call.services.billing.note(call.scope, call.params["note"])
        fonts = BillingSettings.of(call.services.snapshot()).fonts
        made = await render_note_aside(note, row, form, fonts)
        return Reply(raw=made.body, headers=made.headers(shown=form == "pdf"))

    return document


async def list_credits(call: Call) -> Reply:
    rows = await call.services.billing.credits(call.scope, call.tenant.id)
    return Reply(CreditList(data=[CreditView.of(row) for row in rows], next=None))


async def grant(call: Call) -> Reply:
    given = call.body(CreditRequest)
    try:
        exponent(given.currency)
    except MoneyError as error:
        raise ApiError("invalid", errors=(FieldError("currency", str(error)),)) from None
    made = await call.services.billing.grant(
        call.tenant.id, Decimal(given.amount), given.currency, call.user.id, given.reason
    )
    return Reply(CreditView.of(made))


async def _payment(call: Call) -> str:
    """The id of a payment within the caller's scope."""
    desk = call.services.billing
    async with desk.billing.read(call.scope) as books:
        return (await desk.find_payment(books, call.params["payment"])).id


def _decimal(amount: str | None) -> Decimal | None:
    return None if amount is None else Decimal(amount)


_READ, _WRITE = Allowed("invoices", "read", "either"), Allowed("invoices", "write", "either")
_STATE = ("conflict", "not_found")

OPERATIONS = (
    Operation("payInvoice", "POST", "/invoices/{invoice}/pay", "Record a payment; from who owes, announce one",
              Allowed("invoices", "pay", "either"), pay, "billing", PaidInvoice, request=PayRequest, errors=_STATE),
    Operation("writeOffInvoice", "POST", "/invoices/{invoice}/write-off", "Expect no more money for an invoice", _WRITE,
              write_off, "billing", InvoiceView, errors=_STATE),
    Operation("listPayments", "GET", "/payments", "Payments, newest first", _READ, list_payments, "billing",
              PaymentList, query=PaymentQuery),
    Operation("confirmPayment", "POST", "/payments/{payment}/confirm", "A pending payment came in", _WRITE, confirm,
              "billing", SettledPayment, request=ConfirmRequest, errors=_STATE),
    Operation("rejectPayment", "POST", "/payments/{payment}/reject", "A pending payment does not come", _WRITE, reject,
              "billing", SettledPayment, request=RejectRequest, errors=_STATE),
    Operation("createCreditNote", "POST", "/invoices/{invoice}/credit-notes", "Give back a part or all of an invoice",
              _WRITE, credit_note, "billing", CreditNoteView, 201, CreditNoteRequest, errors=_STATE),
    Operation("listCreditNotes", "GET", "/credit-notes", "Credit notes, newest first", _READ, list_notes, "billing",
              CreditNoteList, query=PageQuery),
    Operation("getCreditNote", "GET", "/credit-notes/{note}", "One credit note, by id or number", _READ, get_note,
              "billing", CreditNoteView),
    *(
        Operation(f"getCreditNote{form.capitalize()}", "GET", f"/credit-notes/{{note}}/{form}",
                  f"One credit note as {form.upper()}", _READ, note_as(form), "billing", produces=MEDIA_TYPES[form])
        for form in MEDIA_TYPES
    ),
    Operation("listCredits", "GET", "/credits", "Money that a tenant may still use", Allowed("invoices", "read"),
              list_credits, "billing", CreditList),
    Operation("grantCredit", "POST", "/credits", "Give a tenant credit", Allowed("invoices", "write"), grant, "billing",
              CreditView, 201, CreditRequest, errors=_STATE),
)  # fmt: skip
