"""Whose page it is: the visitor's own tenant, or the one that an operator's address names."""

from aiohttp import web

from gateway.storage.account_values import TenantSettings
from gateway.storage.ports import PLATFORM, Scope
from gateway.tenants.model import Tenant
from gateway.ui.guard import Visit
from gateway.ui.keys import SERVICES, WAYS


async def own_tenant(request: web.Request, visit: Visit) -> Tenant:
    """The visitor's own tenant, whatever the address says; its pages are written as it wants them."""
    tenant_id = visit.user.tenant or ""
    ways = await request.app[SERVICES].store.tenants.settings(Scope(tenant_id), tenant_id)
    request[WAYS] = ways or TenantSettings()
    return await _tenant(request, Scope(tenant_id), tenant_id)


async def any_tenant(request: web.Request) -> Tenant:
    """The tenant that the address names; only behind an operator's door."""
    return await _tenant(request, PLATFORM, request.match_info["id"])


async def _tenant(request: web.Request, scope: Scope, tenant_id: str) -> Tenant:
    tenant = await request.app[SERVICES].store.tenants.get(scope, tenant_id)
    if tenant is None:
        raise web.HTTPNotFound
    return tenant
