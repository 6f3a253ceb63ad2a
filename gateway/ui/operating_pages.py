"""What the operator looks after: the audit log, the effective configuration, messages, and whether all sums agree."""

import asyncio
from itertools import islice

import yaml
from aiohttp import web

from gateway.config.validate import SECRET_FIELDS
from gateway.storage.ports import PLATFORM, Scope
from gateway.storage.values import BadCursor
from gateway.tenants.model import Tenant
from gateway.ui.finding import any_tenant, own_tenant
from gateway.ui.guard import Visit
from gateway.ui.keys import RECONCILING, SERVICES
from gateway.ui.operating_contexts import AuditList, ConfigSection, ConfigView
from gateway.ui.rendering import render

PAGE = 50
SHOWN = 25
HIDDEN = "(hidden)"
MAX_TEXT = 8000


async def portal_audit(request: web.Request, visit: Visit) -> web.StreamResponse:
    """``/portal/audit``."""
    return await _audit(request, visit, await own_tenant(request, visit))


async def admin_audit(request: web.Request, visit: Visit) -> web.StreamResponse:
    """``/admin/audit``."""
    return await _audit(request, visit, None)


async def admin_tenant_audit(request: web.Request, visit: Visit) -> web.StreamResponse:
    """``/admin/tenants/{id}/audit``."""
    return await _audit(request, visit, await any_tenant(request))


async def _audit(request: web.Request, visit: Visit, tenant: Tenant | None) -> web.Response:
    store, after = request.app[SERVICES].store, request.query.get("after", "")
    scope = Scope(tenant.id) if tenant else PLATFORM
    try:
        found = await store.audit.list(scope, PAGE, after or None)
    except BadCursor as error:
        raise web.HTTPBadRequest from error
    names: dict[str, str] = {}
    for actor in {entry.actor for entry in found.rows if entry.actor.startswith("usr_")}:
        # The operator's people are not a tenant's to name.
        user = await store.people.get_user(Scope(visit.user.tenant), actor)
        names[actor] = user.email if user else "the operator" if tenant and visit.user.tenant else actor
    page = AuditList(found.rows, names, found.next or "", not after, tenant is None)
    title = f"Audit of {tenant.name}" if tenant and visit.user.tenant is None else "Audit"
    return render(request, visit, "audit.html", page, title, tenant=tenant)


async def configuration(request: web.Request, visit: Visit) -> web.StreamResponse:
    """``/admin/config``: what runs, defaults included; secrets and hashes are not shown."""
    snapshot = request.app[SERVICES].snapshot()
    sections = []
    single = {name: value for name, value in snapshot.source.items() if not isinstance(value, dict | list)}
    grouped = {name: value for name, value in snapshot.source.items() if name not in single}
    for name, value in {"general": single, **grouped}.items():
        count = len(value) if isinstance(value, dict | list) else 0
        first = dict(islice(value.items(), SHOWN)) if isinstance(value, dict) and value is not single else value
        shown = _without_secrets(() if value is single else (name,), first)
        text = yaml.safe_dump(shown, sort_keys=False, allow_unicode=True, width=100)
        cut = len(text) > MAX_TEXT
        sections.append(ConfigSection(name, text[:MAX_TEXT], max(count - SHOWN, 0) if first is not value else 0, cut))
    page = ConfigView(tuple(sections), str(snapshot.folder), snapshot.version)
    return render(request, visit, "admin/config.html", page, "Configuration")


def _without_secrets(path: tuple[str, ...], value: object) -> object:
    if path in SECRET_FIELDS or path[-1:] in (("hash",), ("secret",), ("password",)):
        return HIDDEN if value else value
    if isinstance(value, dict):
        return {str(name): _without_secrets((*path, str(name)), entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_without_secrets((*path, ""), entry) for entry in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)


async def outbox(request: web.Request, visit: Visit) -> web.StreamResponse:
    """``/admin/outbox``: messages that are kept as files; they hold one-time links, so only writers of teams look."""
    letters = await asyncio.to_thread(request.app[SERVICES].letters)
    return render(request, visit, "admin/outbox.html", letters, "Outbox")


async def reconciliation(request: web.Request, visit: Visit) -> web.StreamResponse:
    """``/admin/reconcile``: the last comparison."""
    return render(request, visit, "admin/reconcile.html", request.app[RECONCILING].last, "Reconciliation")


async def reconcile(request: web.Request, visit: Visit) -> web.StreamResponse:
    """``POST /admin/reconcile``: compare now; who asks meanwhile gets the same report."""
    report = await request.app[RECONCILING].compare()
    return render(request, visit, "admin/reconcile.html", report, "Reconciliation")
