"""The calls behind a line of an invoice."""

from aiohttp import web

from gateway.invoicing.office import InvoiceError
from gateway.money import plain
from gateway.storage.ports import PLATFORM, Scope
from gateway.ui.contexts import CallList
from gateway.ui.finding import own_tenant
from gateway.ui.guard import Visit
from gateway.ui.keys import SERVICES
from gateway.ui.pages import cursor_of, listed
from gateway.ui.rendering import render

PAGE = 50


async def portal_line(request: web.Request, visit: Visit) -> web.StreamResponse:
    """``/portal/invoices/{invoice}/lines/{line}``."""
    return await _page(request, visit, Scope((await own_tenant(request, visit)).id), "/portal/calls")


async def admin_line(request: web.Request, visit: Visit) -> web.StreamResponse:
    """``/admin/invoices/{invoice}/lines/{line}``."""
    return await _page(request, visit, PLATFORM, "/admin/calls")


async def _page(request: web.Request, visit: Visit, scope: Scope, base: str) -> web.Response:
    services, after = request.app[SERVICES], cursor_of(request)
    try:
        found = await services.billing.behind(scope, request.match_info["invoice"], int(request.match_info["line"]))
    except InvoiceError as error:
        raise web.HTTPNotFound from error
    rows = await listed(services.store.ledger.calls(scope, found.calls, PAGE, after or None))
    line, invoice = found.line, found.invoice
    note = f"{line.description}: {found.listed:,} {line.meter} by these calls"
    if found.elsewhere:
        note += f", {found.elsewhere:,} by events and by calls that are kept as sums only"
    note += "." if not found.difference else f"; {plain(found.difference)} differ from the invoice: verify it."
    page = CallList(rows.rows, rows.next or "", not after, base, note)
    tenant = await services.store.tenants.get(PLATFORM, invoice.tenant)
    title = f"Calls of line {line.place}, invoice {invoice.number or '(draft)'}"
    return render(request, visit, "calls.html", page, title, tenant=tenant)
