"""Invoices: lists, one invoice, its document, and what the operator does with it."""

from decimal import Decimal, InvalidOperation
from typing import cast
from urllib.parse import quote

from aiohttp import web

from gateway.billing.invoice import InvoiceTransitionError
from gateway.invoicing.forms import Form, render_aside
from gateway.invoicing.office import InvoiceError, NotFound
from gateway.invoicing.settings import BillingSettings
from gateway.storage.billing_rows import Moved
from gateway.storage.ports import PLATFORM, Scope
from gateway.tenants.model import Tenant
from gateway.tenants.names import is_plain
from gateway.ui.finding import any_tenant, own_tenant
from gateway.ui.guard import Visit, may, see_other
from gateway.ui.invoice_reading import invoice_view, summary
from gateway.ui.keys import SERVICES
from gateway.ui.money_contexts import InvoiceList, InvoiceSummary
from gateway.ui.rendering import render

PAGE = 50
STATES = ("draft", "open", "paid", "void", "uncollectible")
NOTICES = {"pay": "The payment is recorded.", "void": "The invoice is void.", "finalize": "The invoice is final.",
           "write_off": "No more money is expected for it.", "credit": "The credit note is made.",
           "reissue": "The invoice before is void, and this one takes its place.",
           "announced": "Thank you. It counts as paid once the money is seen.",
           "confirm": "The payment is confirmed.", "reject": "The payment is rejected."}  # fmt: skip


async def portal_invoices(request: web.Request, visit: Visit) -> web.StreamResponse:
    """``/portal/invoices``."""
    return await _list(request, visit, await own_tenant(request, visit), "/portal/invoices")


async def admin_invoices(request: web.Request, visit: Visit) -> web.StreamResponse:
    """``/admin/invoices``."""
    return await _list(request, visit, None, "/admin/invoices")


async def admin_tenant_invoices(request: web.Request, visit: Visit) -> web.StreamResponse:
    """``/admin/tenants/{id}/invoices``."""
    return await _list(request, visit, await any_tenant(request), "/admin/invoices")


async def portal_invoice(request: web.Request, visit: Visit) -> web.StreamResponse:
    """``/portal/invoices/{invoice}``."""
    tenant = await own_tenant(request, visit)
    return await show_invoice(request, visit, Scope(tenant.id), tenant, "/portal/invoices")


async def admin_invoice(request: web.Request, visit: Visit) -> web.StreamResponse:
    """``/admin/invoices/{invoice}``."""
    return await show_invoice(request, visit, PLATFORM, None, "/admin/invoices")


async def portal_document(request: web.Request, visit: Visit) -> web.StreamResponse:
    """``/portal/invoices/{invoice}/{form}``."""
    tenant = await own_tenant(request, visit)
    return await _document(request, Scope(tenant.id))


async def admin_document(request: web.Request, visit: Visit) -> web.StreamResponse:
    """``/admin/invoices/{invoice}/{form}``."""
    return await _document(request, PLATFORM)


async def admin_act(request: web.Request, visit: Visit) -> web.StreamResponse:
    """``POST /admin/invoices/{invoice}/{action}``."""
    form, id = await request.post(), _id(request)
    given = {name: value.strip() for name, value in form.items() if isinstance(value, str)}
    action = request.match_info["action"]
    try:
        id = await _do(request, visit, action, id, given)
    except NotFound as error:
        raise web.HTTPNotFound from error
    except Moved:
        return await show_invoice(
            request, visit, PLATFORM, None, "/admin/invoices", "Somebody was first: look again.", 409
        )
    except (InvoiceError, InvoiceTransitionError) as error:
        return await show_invoice(request, visit, PLATFORM, None, "/admin/invoices", str(error), 409)
    return see_other(f"/admin/invoices/{quote(id, safe='')}?done={action}")


async def _do(request: web.Request, visit: Visit, action: str, id: str, given: dict[str, str]) -> str:
    """Do it; returns the invoice to go on to."""
    desk, actor = request.app[SERVICES].billing, visit.user.id
    match action:
        case "pay":
            reference = words_of(given.get("reference", ""), "reference")
            await desk.pay(id, actor, amount=amount_of(given.get("amount", "")), reference=reference)
        case "credit":
            reason = words_of(given.get("reason", ""), "reason")
            if not reason:
                raise InvoiceError("a credit note says why")
            await desk.credit_note(
                id, actor, reason, amount=amount_of(given.get("amount", "")), refund="refund" in given
            )
        case "void":
            await desk.void(id, actor)
        case "reissue":
            return (await desk.void(id, actor, reissue=True)).id
        case "write_off":
            await desk.write_off(id, actor)
        case "finalize":
            await desk.finalize(id, actor)
        case _:
            raise web.HTTPNotFound
    return id


async def _list(request: web.Request, visit: Visit, tenant: Tenant | None, base: str) -> web.Response:
    state, after = request.query.get("state", ""), request.query.get("after", "")
    if (state and state not in STATES) or len(after) > 128 or not after.isprintable():
        raise web.HTTPBadRequest
    services = request.app[SERVICES]
    scope = Scope(tenant.id) if tenant else PLATFORM
    rows = await services.billing.invoices(
        scope, tenant=tenant.id if tenant else "", state=state, limit=PAGE + 1, after=after or None
    )
    now_us = services.clock.now()
    page = InvoiceList(
        base=base,
        rows=tuple(summary(row, now_us) for row in rows[:PAGE]),
        next=rows[PAGE - 1].id if len(rows) > PAGE else "",
        first=not after,
        states=STATES,
        state=state,
        with_tenant=tenant is None,
        waiting=await _waiting(request, now_us) if tenant is None and not after and not state else (),
    )
    title = f"Invoices of {tenant.name}" if tenant and visit.user.tenant is None else "Invoices"
    return render(request, visit, "invoices.html", page, title, tenant=tenant)


async def _waiting(request: web.Request, now_us: int) -> tuple[InvoiceSummary, ...]:
    """Invoices with payments that somebody has to confirm, the oldest last."""
    desk = request.app[SERVICES].billing
    payments = await desk.all_payments(PLATFORM, status="pending", limit=PAGE)
    ids = dict.fromkeys(payment.invoice for payment in payments)
    return tuple([summary((await desk.invoice(PLATFORM, id))[0], now_us) for id in ids])


async def show_invoice(
    request: web.Request,
    visit: Visit,
    scope: Scope,
    tenant: Tenant | None,
    base: str,
    error: str = "",
    status: int = 200,
) -> web.Response:
    services, id = request.app[SERVICES], _id(request)
    try:
        row, lines = await services.billing.invoice(scope, id)
        payments = await services.billing.payments(scope, row.id)
        notes = await services.billing.credit_notes(scope, row.id)
    except NotFound as missing:
        raise web.HTTPNotFound from missing
    page = invoice_view(row, lines, payments, notes, base, services.clock.now())
    write = may(visit.user, "invoices", "write")
    whose = tenant or await services.store.tenants.get(PLATFORM, row.tenant)
    page = page.with_actions(write, error, NOTICES.get(request.query.get("done", ""), ""))
    if page.head.owed and visit.user.tenant is not None and may(visit.user, "invoices", "pay"):
        page = page.to_be_paid(await services.billing.how_to_pay(row))
    return render(
        request,
        visit,
        "invoice.html",
        page,
        f"Invoice {row.number}" if row.number else "Draft invoice",
        tenant=whose,
        status=status,
    )


async def _document(request: web.Request, scope: Scope) -> web.Response:
    """PDF and HTML open in the browser, CSV is kept."""
    services, form = request.app[SERVICES], cast(Form, request.match_info["form"])
    try:
        row, lines = await services.billing.invoice(scope, _id(request))
    except NotFound as missing:
        raise web.HTTPNotFound from missing
    fonts = BillingSettings.of(services.snapshot()).fonts
    made = await render_aside(row, lines, form, fonts, standalone=False)
    headers = made.headers(shown=form != "csv") | {"Cache-Control": "private, no-store"}
    return web.Response(body=made.body, headers=headers)


def _id(request: web.Request) -> str:
    id = request.match_info["invoice"]
    if len(id) > 128 or not id.isprintable():
        raise web.HTTPNotFound
    return id


def words_of(text: str, name: str) -> str:
    if len(text) > 200 or not is_plain(text):
        raise InvoiceError(f"the {name} is at most 200 characters, none of them a control character")
    return text


def amount_of(text: str) -> Decimal | None:
    """What is meant; empty: all that there is."""
    if not text.strip():
        return None
    try:
        amount = Decimal(text.strip())
    except InvalidOperation:
        raise InvoiceError("an amount is a number such as 12.34") from None
    if len(text) > 40 or not amount.is_finite() or amount.adjusted() > 20:
        raise InvoiceError("an amount is a number such as 12.34")
    return amount
