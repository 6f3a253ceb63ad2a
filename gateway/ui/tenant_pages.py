"""What the operator does with tenants: make one, suspend it, let it go on, close it."""

from urllib.parse import quote
from zoneinfo import ZoneInfo, available_timezones

from aiohttp import web

from gateway.ids import new_id
from gateway.storage.ports import PLATFORM
from gateway.storage.values import AuditEntry
from gateway.tenants.model import Tenant, TenantStatus
from gateway.tenants.names import is_name
from gateway.ui.finding import any_tenant
from gateway.ui.guard import Visit, see_other
from gateway.ui.keys import SERVICES
from gateway.ui.operating_contexts import NewTenant
from gateway.ui.rendering import render

MOVES: dict[str, TenantStatus] = {"suspend": "suspended", "reopen": "active", "close": "closed"}
ZONES = available_timezones()


async def new_page(request: web.Request, visit: Visit) -> web.StreamResponse:
    """``/admin/new-tenant``."""
    return _form(request, visit, NewTenant(plans=_plans(request)))


async def create(request: web.Request, visit: Visit) -> web.StreamResponse:
    """``POST /admin/new-tenant``: a tenant that the store owns."""
    form, services = await request.post(), request.app[SERVICES]
    name, plan, zone = (str(form.get(field, "")).strip() for field in ("name", "plan", "timezone"))
    plans = _plans(request)
    error = ""
    if not is_name(name, 200):
        error = "Give it a name of at most 200 characters, without control characters."
    elif plan not in plans:
        error = "Choose a plan."
    elif zone not in ZONES:
        error = "Write a time zone such as Europe/Berlin."
    if error:
        return _form(request, visit, NewTenant(plans, name[:200], plan[:64], zone[:64], error), 400)
    now_us = services.clock.now()
    tenant = Tenant(new_id("ten", now_us), name, plan, ZoneInfo(zone).key, source="store")
    sequence = await services.store.tenants.create(PLATFORM, tenant, now_us)
    entry = AuditEntry(now_us, visit.user.id, "tenant.created", tenant.id, tenant.id, {"plan": plan})
    await services.store.audit.append(PLATFORM, entry)
    await services.applied(sequence)
    return see_other(f"/admin/tenants/{tenant.id}")


async def move(request: web.Request, visit: Visit) -> web.StreamResponse:
    """``POST /admin/tenants/{id}/state/{action}``: a closed tenant stays closed."""
    tenant, services = await any_tenant(request), request.app[SERVICES]
    status = MOVES.get(request.match_info["action"])
    if status is None or (tenant.status == "closed" and status != "closed"):
        raise web.HTTPNotFound
    if tenant.status != status:
        now_us = services.clock.now()
        sequence = await services.store.tenants.set_status(PLATFORM, tenant.id, status, now_us, visit.user.id)
        if sequence is not None:
            await services.applied(sequence)
    return see_other(f"/admin/tenants/{quote(tenant.id, safe='')}")


def _plans(request: web.Request) -> tuple[str, ...]:
    return tuple(sorted(request.app[SERVICES].snapshot().plans))


def _form(request: web.Request, visit: Visit, page: NewTenant, status: int = 200) -> web.Response:
    return render(request, visit, "admin/new_tenant.html", page, "New tenant", status=status)
