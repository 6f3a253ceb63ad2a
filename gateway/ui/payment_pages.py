"""Payments on the pages: who owes announces one on the invoice, who is owed confirms or rejects it there."""

from urllib.parse import quote

from aiohttp import web

from gateway.billing.payment import PaymentTransitionError
from gateway.invoicing.office import InvoiceError, NotFound
from gateway.storage.billing_rows import Moved
from gateway.storage.ports import PLATFORM, Scope
from gateway.ui.finding import own_tenant
from gateway.ui.guard import Visit, see_other
from gateway.ui.invoice_pages import amount_of, show_invoice, words_of
from gateway.ui.keys import SERVICES

FIRST = "Somebody was first: look again."


async def portal_pay(request: web.Request, visit: Visit) -> web.StreamResponse:
    """``POST /portal/invoices/{invoice}/pay``: an announcement; nobody settles their own debt."""
    tenant, base = await own_tenant(request, visit), "/portal/invoices"
    scope, id, given = Scope(tenant.id), request.match_info["invoice"], await _form(request)
    try:
        amount, reference = amount_of(given.get("amount", "")), words_of(given.get("reference", ""), "reference")
        await request.app[SERVICES].billing.announce(scope, id, visit.user.id, amount=amount, reference=reference)
    except NotFound as error:
        raise web.HTTPNotFound from error
    except (Moved, InvoiceError) as error:
        text = FIRST if isinstance(error, Moved) else str(error)
        return await show_invoice(request, visit, scope, tenant, base, text, 409)
    return see_other(f"{base}/{quote(id, safe='')}?done=announced")


async def admin_settle(request: web.Request, visit: Visit) -> web.StreamResponse:
    """``POST /admin/invoices/{invoice}/payments/{payment}/{action}``."""
    desk, given, base = request.app[SERVICES].billing, await _form(request), "/admin/invoices"
    payment, action = request.match_info["payment"], request.match_info["action"]
    try:
        if action == "confirm":
            amount = amount_of(given.get("amount", ""))
            await desk.confirm(payment, visit.user.id, amount=amount, credit_excess="credit_excess" in given)
        else:
            await desk.reject(payment, visit.user.id, reason=words_of(given.get("reason", ""), "reason"))
    except NotFound as error:
        raise web.HTTPNotFound from error
    except (Moved, InvoiceError, PaymentTransitionError) as error:
        text = FIRST if isinstance(error, Moved) else str(error)
        return await show_invoice(request, visit, PLATFORM, None, base, text, 409)
    return see_other(f"{base}/{quote(request.match_info['invoice'], safe='')}?done={action}")


async def _form(request: web.Request) -> dict[str, str]:
    return {name: value.strip() for name, value in (await request.post()).items() if isinstance(value, str)}
