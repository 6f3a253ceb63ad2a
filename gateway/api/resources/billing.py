"""Subscriptions, invoices, payments and credit notes, by the desk that the job and the commands use too."""

from gateway.api.operation import Allowed, Call, Handler, Operation, Reply
from gateway.api.problems import NOT_FOUND, ApiError, FieldError
from gateway.api.resources.billing_views import (
    CancelRequest,
    ChangeRequest,
    ChangeView,
    ComparisonList,
    ComparisonView,
    CreditNoteView,
    Estimate,
    InvoiceDetail,
    InvoiceList,
    InvoiceQuery,
    InvoiceView,
    LineCalls,
    LineView,
    PaymentView,
    PinRequest,
    SubscriptionView,
    VerificationView,
    VoidRequest,
    WouldCostQuery,
)
from gateway.api.resources.calls import CallView
from gateway.api.values import Money, PageQuery
from gateway.invoicing.changing import Target
from gateway.invoicing.forms import MEDIA_TYPES, Form, render_aside
from gateway.invoicing.settings import BillingSettings
from gateway.money import plain
from gateway.period import from_us
from gateway.storage.billing_values import InvoiceRow


async def get_subscription(call: Call) -> Reply:
    return Reply(SubscriptionView.of(await call.services.billing.subscription(call.scope, call.tenant.id)))


async def preview_change(call: Call) -> Reply:
    given = call.body(ChangeRequest)
    found = await call.services.billing.preview_change(call.scope, call.tenant.id, _target(given), given.when)
    return Reply(ChangeView.of(found))


async def change_subscription(call: Call) -> Reply:
    given = call.body(ChangeRequest)
    found = await call.services.billing.change(call.tenant.id, _target(given), call.user.id, given.when)
    return Reply(ChangeView.of(found))


async def cancel(call: Call) -> Reply:
    given = call.body(CancelRequest)
    row = await call.services.billing.cancel(call.tenant.id, call.user.id, now=given.now)
    return Reply(SubscriptionView.of(row))


async def keep(call: Call) -> Reply:
    return Reply(SubscriptionView.of(await call.services.billing.keep(call.tenant.id, call.user.id)))


async def pin(call: Call) -> Reply:
    given = call.body(PinRequest)
    row = await call.services.billing.pin(call.tenant.id, call.user.id, pinned=given.pinned)
    return Reply(SubscriptionView.of(row))


async def pause(call: Call) -> Reply:
    return Reply(SubscriptionView.of(await call.services.billing.pause(call.tenant.id, call.user.id)))


async def resume(call: Call) -> Reply:
    return Reply(SubscriptionView.of(await call.services.billing.resume(call.tenant.id, call.user.id)))


async def list_invoices(call: Call) -> Reply:
    query = call.query(InvoiceQuery)
    rows = await call.services.billing.invoices(
        call.scope, tenant=call.scope.tenant or "", state=query.state or "", limit=query.limit + 1, after=query.after
    )
    more = rows[query.limit - 1].id if len(rows) > query.limit else None
    return Reply(InvoiceList(data=[InvoiceView.of(row) for row in rows[: query.limit]], next=more))


async def get_invoice(call: Call) -> Reply:
    desk = call.services.billing
    row, lines = await desk.invoice(call.scope, call.params["invoice"])
    return Reply(
        InvoiceDetail(
            invoice=InvoiceView.of(row),
            lines=[LineView.of_row(line, row.currency) for line in lines],
            payments=[PaymentView.of(one) for one in await desk.payments(call.scope, row.id)],
            credit_notes=[CreditNoteView.of(one) for one in await desk.credit_notes(call.scope, row.id)],
        )
    )


def invoice_as(form: Form) -> Handler:
    """The handler that answers with an invoice as a document."""

    async def document(call: Call) -> Reply:
        row, lines = await call.services.billing.invoice(call.scope, call.params["invoice"])
        fonts = BillingSettings.of(call.services.snapshot()).fonts
        made = await render_aside(row, lines, form, fonts)
        return Reply(raw=made.body, headers=made.headers(shown=form == "pdf"))

    return document


async def estimate(call: Call) -> Reply:
    _, composed = await call.services.billing.preview(call.scope, call.tenant.id)
    return Reply(Estimate.of(composed))


async def would_cost(call: Call) -> Reply:
    query, plan = call.query(WouldCostQuery), call.params["plan"]
    at = None if query.at is None else from_us(query.at)
    rows = await call.services.billing.would_cost(call.scope, plan, at=at, limit=query.limit + 1, after=query.after)
    more = rows[query.limit - 1].tenant if len(rows) > query.limit else None
    return Reply(ComparisonList(data=[ComparisonView.of(row) for row in rows[: query.limit]], next=more))


async def calculate(call: Call) -> Reply:
    return Reply(InvoiceView.of(await call.services.billing.calculate(call.scope, call.tenant.id, call.user.id)))


async def line_calls(call: Call) -> Reply:
    query, place = call.query(PageQuery), call.params["line"]
    if not place.isdecimal() or len(place) > 6:
        raise NOT_FOUND
    found = await call.services.billing.behind(call.scope, call.params["invoice"], int(place))
    page = await call.services.store.ledger.calls(call.scope, found.calls, query.limit, query.after)
    return Reply(
        LineCalls(
            line=LineView.of_row(found.line, found.invoice.currency),
            from_calls=str(found.listed),
            from_elsewhere=str(found.elsewhere),
            difference=plain(found.difference),
            data=[CallView.of(row) for row in page.rows],
            next=page.next,
        )
    )


async def finalize(call: Call) -> Reply:
    row = await invoice_of(call)
    return Reply(InvoiceView.of(await call.services.billing.finalize(row.id, call.user.id)))


async def void(call: Call) -> Reply:
    row = await invoice_of(call)
    done = await call.services.billing.void(row.id, call.user.id, reissue=call.body(VoidRequest).reissue)
    return Reply(InvoiceView.of(done))


async def verify(call: Call) -> Reply:
    found = await call.services.billing.verify(call.scope, call.params["invoice"])
    difference = Money.of(found.difference.amount, found.difference.currency)
    return Reply(VerificationView(holds=found.holds, difference=difference, faults=list(found.faults)))


async def invoice_of(call: Call) -> InvoiceRow:
    """The invoice within the caller's scope: the desk's own operations are the platform's."""
    row, _ = await call.services.billing.invoice(call.scope, call.params["invoice"])
    return row


def _target(given: ChangeRequest) -> Target:
    if given.plan is None and given.billing_cycle is None and given.quantity is None:
        raise ApiError("invalid", errors=(FieldError("", "name what changes: plan, billing_cycle or quantity"),))
    return Target(given.plan or "", given.billing_cycle or "", given.quantity or 0)


_SUB_READ, _SUB_WRITE = Allowed("subscription", "read"), Allowed("subscription", "write")
_READ, _CALCULATE = Allowed("invoices", "read", "either"), Allowed("invoices", "pay")
_WRITE = Allowed("invoices", "write", "either")
_STATE = ("conflict", "not_found")
_OWNED = ("conflict", "managed_by_config", "not_found")

OPERATIONS = (
    Operation("getSubscription", "GET", "/subscription", "What the tenant is on", _SUB_READ, get_subscription,
              "billing", SubscriptionView),
    Operation("previewChange", "POST", "/subscription/preview", "What a change would cost",
              Allowed("subscription", "preview"), preview_change, "billing", ChangeView, request=ChangeRequest,
              errors=_OWNED),
    Operation("changeSubscription", "POST", "/subscription/change", "Change plan, cycle or quantity", _SUB_WRITE,
              change_subscription, "billing", ChangeView, request=ChangeRequest, errors=_OWNED),
    Operation("cancelSubscription", "POST", "/subscription/cancel", "End the subscription", _SUB_WRITE, cancel,
              "billing", SubscriptionView, request=CancelRequest, errors=_OWNED),
    Operation("keepSubscription", "POST", "/subscription/keep", "Take back what waits for the period's end", _SUB_WRITE,
              keep, "billing", SubscriptionView, errors=_OWNED),
    Operation("pinSubscription", "POST", "/subscription/pin", "Keep the prices at every renewal, or follow the plan",
              Allowed("invoices", "write"), pin, "billing", SubscriptionView, request=PinRequest, errors=_OWNED),
    Operation("pauseSubscription", "POST", "/subscription/pause", "Stop serving, and charging fees", _SUB_WRITE, pause,
              "billing", SubscriptionView, errors=_OWNED),
    Operation("resumeSubscription", "POST", "/subscription/resume", "Serve again", _SUB_WRITE, resume, "billing",
              SubscriptionView, errors=_OWNED),
    Operation("estimate", "GET", "/invoices/estimate", "The bill so far", Allowed("invoices", "read"), estimate,
              "billing", Estimate, errors=_STATE),
    Operation("wouldCost", "GET", "/plans/{plan}/would-cost", "A month's usage by another plan, of one tenant or all",
              Allowed("invoices", "preview", "either"), would_cost, "billing", ComparisonList, query=WouldCostQuery,
              errors=_STATE),
    Operation("listInvoices", "GET", "/invoices", "Invoices, newest first", _READ, list_invoices, "billing",
              InvoiceList, query=InvoiceQuery),
    Operation("calculateInvoice", "POST", "/invoices/calculate", "Make or refresh the draft of the present period",
              _CALCULATE, calculate, "billing", InvoiceView, errors=_STATE),
    Operation("getInvoice", "GET", "/invoices/{invoice}", "One invoice, by id or number", _READ, get_invoice, "billing",
              InvoiceDetail),
    *(
        Operation(f"invoice{form.capitalize()}", "GET", f"/invoices/{{invoice}}/{form}",
                  f"One invoice as {form.upper()}", _READ, invoice_as(form), "billing", produces=MEDIA_TYPES[form])
        for form in MEDIA_TYPES
    ),
    Operation("verifyInvoice", "GET", "/invoices/{invoice}/verification", "Rate an invoice again from the ledger",
              _READ, verify, "billing", VerificationView, errors=_STATE),
    Operation("listLineCalls", "GET", "/invoices/{invoice}/lines/{line}/calls", "The calls that a line counted", _READ,
              line_calls, "billing", LineCalls, query=PageQuery, errors=_STATE),
    Operation("finalizeInvoice", "POST", "/invoices/{invoice}/finalize", "Make a draft final before its time", _WRITE,
              finalize, "billing", InvoiceView, errors=_STATE),
    Operation("voidInvoice", "POST", "/invoices/{invoice}/void", "Take a wrong invoice back", _WRITE, void, "billing",
              InvoiceView, request=VoidRequest, errors=_STATE),
)  # fmt: skip
