"""An organisation's settings: its zone, and how dates and numbers are written for its people."""

import re
from urllib.parse import quote
from zoneinfo import ZoneInfo

import msgspec
from aiohttp import web

from gateway.storage.account_values import TenantSettings
from gateway.storage.ports import Scope
from gateway.storage.values import AuditEntry
from gateway.tenants.model import Tenant
from gateway.tenants.names import is_name
from gateway.ui.access_contexts import SettingsView
from gateway.ui.finding import any_tenant, own_tenant
from gateway.ui.guard import Visit, may, see_other
from gateway.ui.keys import SERVICES
from gateway.ui.rendering import render
from gateway.ui.tenant_pages import ZONES

FORMATS = ("", "iso", "dmy", "mdy")
_LOCALE = re.compile(r"[a-z]{2,3}(-[A-Z][a-z]{3})?(-([A-Z]{2}|[0-9]{3}))?")


async def portal_settings(request: web.Request, visit: Visit) -> web.StreamResponse:
    """``/portal/settings``."""
    return await _page(request, visit, await own_tenant(request, visit))


async def portal_save(request: web.Request, visit: Visit) -> web.StreamResponse:
    """``POST /portal/settings``."""
    return await _save(request, visit, await own_tenant(request, visit))


async def admin_settings(request: web.Request, visit: Visit) -> web.StreamResponse:
    """``/admin/tenants/{id}/settings``."""
    return await _page(request, visit, await any_tenant(request))


async def admin_save(request: web.Request, visit: Visit) -> web.StreamResponse:
    """``POST /admin/tenants/{id}/settings``."""
    return await _save(request, visit, await any_tenant(request))


async def _save(request: web.Request, visit: Visit, tenant: Tenant) -> web.StreamResponse:
    form, services, scope = await request.post(), request.app[SERVICES], Scope(tenant.id)
    given = {name: value.strip() for name, value in form.items() if isinstance(value, str)}
    locale, style = given.get("locale", ""), given.get("date_format", "")
    zone = given.get("timezone", tenant.timezone)
    name = given.get("name", tenant.name) if _may_name(visit) else tenant.name
    error = ""
    if locale and not _LOCALE.fullmatch(locale):
        error = 'The language is a tag such as "en" or "de-AT".'
    elif style not in FORMATS:
        error = "Choose a way of writing dates."
    elif zone not in ZONES:
        error = "Write a time zone such as Europe/Berlin."
    elif not is_name(name, 200):
        error = "Give it a name of at most 200 characters, without control characters."
    elif tenant.status == "closed":
        error = "This organisation is closed."
    elif (name, zone) != (tenant.name, tenant.timezone) and tenant.source == "yaml":
        error = f"Name and zone are written in {services.managed_by(('tenants', tenant.id))}: change them there."
    if error:
        return await _page(request, visit, tenant, TenantSettings(locale[:35], style), error)
    await services.store.tenants.set_settings(scope, tenant.id, TenantSettings(locale, style))
    detail = {"locale": locale, "date_format": style}
    if (name, zone) != (tenant.name, tenant.timezone):
        changed = msgspec.structs.replace(tenant, name=name, timezone=ZoneInfo(zone).key)
        sequence = await services.store.tenants.change(scope, changed)
        if sequence is None:
            raise web.HTTPNotFound
        await services.applied(sequence)
        detail |= {"name": name, "timezone": zone}
    entry = AuditEntry(
        services.clock.now(), visit.user.id, "tenant.settings_changed", tenant.id, tenant.id, dict(detail)
    )
    await services.store.audit.append(scope, entry)
    return see_other(f"{_base(visit, tenant)}?done=saved")


async def _page(
    request: web.Request, visit: Visit, tenant: Tenant, typed: TenantSettings | None = None, error: str = ""
) -> web.Response:
    services = request.app[SERVICES]
    found = typed or await services.store.tenants.settings(Scope(tenant.id), tenant.id) or TenantSettings()
    page = SettingsView(
        base=_base(visit, tenant),
        name=tenant.name,
        timezone=tenant.timezone,
        locale=found.locale,
        date_format=found.date_format,
        may_write=may(visit.user, "settings", "write") and tenant.status != "closed",
        may_name=_may_name(visit) and tenant.source == "store",
        managed=services.managed_by(("tenants", tenant.id)) if tenant.source == "yaml" else "",
        error=error,
        notice="Saved." if request.query.get("done") == "saved" else "",
    )
    title = "Settings" if visit.user.tenant else f"Settings of {tenant.name}"
    return render(request, visit, "settings.html", page, title, tenant=tenant, status=400 if error else 200)


def _may_name(visit: Visit) -> bool:
    """An organisation's name is on its invoices: the operator changes it."""
    return may(visit.user, "platform", "write")


def _base(visit: Visit, tenant: Tenant) -> str:
    return "/portal/settings" if visit.user.tenant else f"/admin/tenants/{quote(tenant.id, safe='')}/settings"
