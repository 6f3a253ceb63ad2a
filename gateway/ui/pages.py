"""The pages of the operator and of tenants: fetch what the page shows, render it."""

import contextlib
from collections.abc import Awaitable
from typing import TypeVar

from aiohttp import web

from gateway.accounts.sessions import COOKIE
from gateway.errors import GatewayError, StoreUnavailable
from gateway.ui.finding import any_tenant, own_tenant
from gateway.ui.guard import Visit
from gateway.ui.keys import LIVE, PLATFORM_READER, SERVICES, SESSIONS
from gateway.ui.platform_reading import all_calls, route_list
from gateway.ui.rendering import render
from gateway.ui.tenant_reading import tenant_calls, tenant_view

MAX_CURSOR = 256
Reading = TypeVar("Reading")


async def admin_overview(request: web.Request, visit: Visit) -> web.StreamResponse:
    """``/admin``."""
    page = await request.app[PLATFORM_READER].overview()
    return render(request, visit, "admin/overview.html", page, "Overview", live="/admin/live")


async def admin_tenants(request: web.Request, visit: Visit) -> web.StreamResponse:
    """``/admin/tenants``."""
    page = await listed(request.app[PLATFORM_READER].tenants(cursor_of(request)))
    return render(request, visit, "admin/tenants.html", page, "Tenants", live="/admin/live")


async def admin_tenant(request: web.Request, visit: Visit) -> web.StreamResponse:
    """``/admin/tenants/{id}``."""
    tenant = await any_tenant(request)
    page = await tenant_view(request.app[SERVICES], tenant)
    return render(request, visit, "admin/tenant.html", page, tenant.name, tenant=tenant, live="/admin/live")


async def admin_tenant_calls(request: web.Request, visit: Visit) -> web.StreamResponse:
    """``/admin/tenants/{id}/calls``."""
    tenant = await any_tenant(request)
    page = await listed(tenant_calls(request.app[SERVICES], tenant, request.path, cursor_of(request)))
    return render(
        request, visit, "calls.html", page, f"Calls of {tenant.name}", tenant=tenant, live=_live(request, "/admin")
    )


async def admin_calls(request: web.Request, visit: Visit) -> web.StreamResponse:
    """``/admin/calls``."""
    page = await listed(all_calls(request.app[SERVICES], cursor_of(request)))
    return render(request, visit, "calls.html", page, "Calls", live=_live(request, "/admin"))


async def admin_routes(request: web.Request, visit: Visit) -> web.StreamResponse:
    """``/admin/routes``."""
    page = await route_list(request.app[SERVICES])
    return render(request, visit, "admin/routes.html", page, "Routes", live="/admin/live")


async def portal(request: web.Request, visit: Visit) -> web.StreamResponse:
    """``/portal``: the visitor's own tenant, whatever the address says."""
    tenant = await own_tenant(request, visit)
    page = await tenant_view(request.app[SERVICES], tenant)
    return render(request, visit, "portal/overview.html", page, "Overview", tenant=tenant, live="/portal/live")


async def portal_calls(request: web.Request, visit: Visit) -> web.StreamResponse:
    """``/portal/calls``."""
    tenant = await own_tenant(request, visit)
    page = await listed(tenant_calls(request.app[SERVICES], tenant, "/portal/calls", cursor_of(request)))
    return render(request, visit, "calls.html", page, "Calls", tenant=tenant, live=_live(request, "/portal"))


def cursor_of(request: web.Request) -> str:
    """Where the list goes on; a cursor of ours is short."""
    cursor = request.query.get("after", "")
    if len(cursor) > MAX_CURSOR or not cursor.isprintable():
        raise web.HTTPBadRequest
    return cursor


async def listed(reading: Awaitable[Reading]) -> Reading:
    """One page of a list; a cursor that is none of the list's is the visitor's mistake."""
    try:
        return await reading
    except StoreUnavailable:
        raise
    except (GatewayError, OverflowError) as error:  # a cursor may hold a number that no column takes
        raise web.HTTPBadRequest from error


def _live(request: web.Request, section: str) -> str:
    """Only the newest page of a list moves: older ones would slip away under the reader."""
    return "" if "after" in request.query else f"{section}/live"


async def live(request: web.Request, visit: Visit) -> web.StreamResponse:
    """``/admin/live``, ``/portal/live``: an event each time the ledger moves, until the session ends."""
    hub, sessions = request.app[LIVE], request.app[SESSIONS]
    if hub.full:
        raise web.HTTPServiceUnavailable(headers={"Retry-After": "30"})
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
    response.headers["X-Accel-Buffering"] = "no"
    with contextlib.suppress(ConnectionResetError, ConnectionAbortedError, StoreUnavailable):
        await response.prepare(request)
        await response.write(b"retry: 2000\n\n")
        async with contextlib.aclosing(hub.events()) as events:
            async for sequence in events:
                if sequence is None and await sessions.find(request.cookies.get(COOKIE, "")) is None:
                    break
                await response.write(b": ping\n\n" if sequence is None else b"event: changed\ndata: %d\n\n" % sequence)
        await response.write_eof()
    return response
