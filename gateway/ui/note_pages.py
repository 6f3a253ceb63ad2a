"""Credit notes as documents."""

from typing import cast

from aiohttp import web

from gateway.invoicing.forms import Form, render_note_aside
from gateway.invoicing.office import NotFound
from gateway.invoicing.settings import BillingSettings
from gateway.storage.ports import PLATFORM, Scope
from gateway.ui.finding import own_tenant
from gateway.ui.guard import Visit
from gateway.ui.keys import SERVICES


async def portal_note(request: web.Request, visit: Visit) -> web.StreamResponse:
    """``/portal/credit-notes/{note}/{form}``."""
    return await _document(request, Scope((await own_tenant(request, visit)).id))


async def admin_note(request: web.Request, visit: Visit) -> web.StreamResponse:
    """``/admin/credit-notes/{note}/{form}``."""
    return await _document(request, PLATFORM)


async def _document(request: web.Request, scope: Scope) -> web.Response:
    services, form = request.app[SERVICES], cast(Form, request.match_info["form"])
    try:
        note, row = await services.billing.note(scope, request.match_info["note"])
    except NotFound as missing:
        raise web.HTTPNotFound from missing
    made = await render_note_aside(note, row, form, BillingSettings.of(services.snapshot()).fonts, standalone=False)
    headers = made.headers(shown=form != "csv") | {"Cache-Control": "private, no-store"}
    return web.Response(body=made.body, headers=headers)
