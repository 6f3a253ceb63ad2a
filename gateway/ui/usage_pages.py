"""The usage pages, the same for the operator and for the tenant's own people."""

from urllib.parse import quote

from aiohttp import web

from gateway.tenants.model import Tenant
from gateway.ui.finding import any_tenant, own_tenant
from gateway.ui.guard import Visit
from gateway.ui.keys import SERVICES
from gateway.ui.rendering import render
from gateway.ui.usage_reading import UsageChoice, usage_view


async def portal_usage(request: web.Request, visit: Visit) -> web.StreamResponse:
    """``/portal/usage``."""
    return await _usage(request, visit, await own_tenant(request, visit), "/portal/usage", "/portal/live")


async def admin_usage(request: web.Request, visit: Visit) -> web.StreamResponse:
    """``/admin/tenants/{id}/usage``."""
    tenant = await any_tenant(request)
    return await _usage(request, visit, tenant, f"/admin/tenants/{quote(tenant.id, safe='')}/usage", "/admin/live")


async def _usage(request: web.Request, visit: Visit, tenant: Tenant, base: str, live: str) -> web.StreamResponse:
    try:
        choice = UsageChoice.of(request.query)
    except ValueError as error:
        raise web.HTTPBadRequest from error
    page = await usage_view(request.app[SERVICES], tenant, base, choice)
    if page is None:
        raise web.HTTPNotFound
    title = "Usage" if visit.user.tenant else f"Usage of {tenant.name}"
    # What is over does not move.
    return render(request, visit, "usage.html", page, title, tenant=tenant, live=live if page.current else "")
