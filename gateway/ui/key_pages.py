"""Keys: list, create (shown once), change, rotate, revoke; for the tenant's people and, beside them, the operator."""

from urllib.parse import quote

from aiohttp import web

from gateway.accounts.refused import AccountError, Refused
from gateway.clock import SECOND_US
from gateway.tenants.model import Key, Tenant
from gateway.tenants.zones import zone_of
from gateway.ui.contexts import FreshKey, KeyForm, KeyList, KeyView
from gateway.ui.finding import any_tenant, own_tenant
from gateway.ui.guard import NotForRole, Visit, may, see_other
from gateway.ui.key_forms import form_of, parse, read_form
from gateway.ui.keys import ONCE, SERVICES
from gateway.ui.rendering import render
from gateway.ui.tenant_reading import key_line, key_lines

PAGE = 50
OVERLAPS = {"0": "at once", "3600": "in an hour", "86400": "in a day", "604800": "in a week", "2592000": "in 30 days"}
NOTICES = {
    "made": "The key is made. It was shown once and is not shown again: rotate it if it was not copied.",
    "changed": "The key is changed, and calls are decided by it now.",
    "revoked": "The key is revoked.",
}


async def portal_keys(request: web.Request, visit: Visit) -> web.StreamResponse:
    """``/portal/keys``."""
    return await _list(request, visit, await own_tenant(request, visit))


async def admin_keys(request: web.Request, visit: Visit) -> web.StreamResponse:
    """``/admin/tenants/{id}/keys``."""
    return await _list(request, visit, await any_tenant(request))


async def portal_create(request: web.Request, visit: Visit) -> web.StreamResponse:
    """``POST /portal/keys``."""
    return await _create(request, visit, await own_tenant(request, visit))


async def admin_create(request: web.Request, visit: Visit) -> web.StreamResponse:
    """``POST /admin/tenants/{id}/keys``."""
    return await _create(request, visit, await any_tenant(request))


async def portal_key(request: web.Request, visit: Visit) -> web.StreamResponse:
    """``/portal/keys/{key}``."""
    return await _one(request, visit, await own_tenant(request, visit))


async def admin_key(request: web.Request, visit: Visit) -> web.StreamResponse:
    """``/admin/tenants/{id}/keys/{key}``."""
    return await _one(request, visit, await any_tenant(request))


async def portal_act(request: web.Request, visit: Visit) -> web.StreamResponse:
    """``POST /portal/keys/{key}/{action}``."""
    return await _act(request, visit, await own_tenant(request, visit))


async def admin_act(request: web.Request, visit: Visit) -> web.StreamResponse:
    """``POST /admin/tenants/{id}/keys/{key}/{action}``."""
    return await _act(request, visit, await any_tenant(request))


async def _list(
    request: web.Request,
    visit: Visit,
    tenant: Tenant,
    *,
    form: KeyForm | None = None,
    error: str = "",
    status: int = 200,
) -> web.Response:
    services = request.app[SERVICES]
    keys, used = await services.keys.list(tenant)
    lines = key_lines(keys, used, services.clock.now())
    after = request.query.get("after", "")
    start = next((place + 1 for place, line in enumerate(lines) if line.id == after), 0)
    if after and not start:
        raise web.HTTPBadRequest
    rows = lines[start : start + PAGE]
    page = KeyList(
        base=_base(visit, tenant),
        rows=rows,
        next=rows[-1].id if start + PAGE < len(lines) else "",
        first=not start,
        may_create=may(visit.user, "keys", "create_own") and tenant.status != "closed",
        form=form or KeyForm(),
        error=error,
    )
    title = "Keys" if visit.user.tenant else f"Keys of {tenant.name}"
    return render(request, visit, "keys.html", page, title, tenant=tenant, status=status)


async def _create(request: web.Request, visit: Visit, tenant: Tenant) -> web.StreamResponse:
    form = read_form(await request.post())
    services = request.app[SERVICES]
    try:
        wanted = parse(form, zone_of(tenant))
        minted, key = await services.keys.create(
            tenant,
            visit.user.id,
            name=wanted.name,
            scopes=wanted.scopes,
            addresses=wanted.addresses,
            expires_us=wanted.expires_us,
        )
    except AccountError as error:
        return await _list(request, visit, tenant, form=form, error=str(error), status=_status(error))
    return _shown_once(request, visit, tenant, key, FreshKey(minted.text, key.name))


def _shown_once(request: web.Request, visit: Visit, tenant: Tenant, key: Key, fresh: FreshKey) -> web.Response:
    """On to the key's own page, which shows its text this once: a reload makes no second key."""
    here = f"{_base(visit, tenant)}/{quote(key.id, safe='')}"
    request.app[ONCE].keep(visit.binding, here, fresh)
    return see_other(f"{here}?done=made")


async def _one(
    request: web.Request,
    visit: Visit,
    tenant: Tenant,
    *,
    key: Key | None = None,
    form: KeyForm | None = None,
    error: str = "",
    status: int = 200,
) -> web.Response:
    services = request.app[SERVICES]
    shown = key or await _find(request, tenant)
    _, used = await services.keys.list(tenant)
    base = _base(visit, tenant)
    kept = (
        request.app[ONCE].take(visit.binding, f"{base}/{quote(shown.id, safe='')}") if request.method == "GET" else None
    )
    fresh = kept if isinstance(kept, FreshKey) else None
    page = KeyView(
        base=base,
        usage=f"{base.removesuffix('/keys')}/usage?key={quote(shown.id, safe='')}",
        line=key_line(shown, used, services.clock.now()),
        may_change=_may_change(visit, shown) and tenant.status != "closed",
        managed=services.managed_by(("tenants", tenant.id, "keys")) if shown.source == "yaml" else "",
        form=form or form_of(shown, zone_of(tenant)),
        fresh=fresh,
        error=error,
        notice="" if fresh else NOTICES.get(request.query.get("done", ""), ""),
    )
    return render(request, visit, "key.html", page, shown.name or shown.id, tenant=tenant, status=status)


async def _act(request: web.Request, visit: Visit, tenant: Tenant) -> web.StreamResponse:
    key, form, books = await _find(request, tenant), await request.post(), request.app[SERVICES].keys
    if not _may_change(visit, key):
        raise NotForRole
    here = f"{_base(visit, tenant)}/{quote(key.id, safe='')}"
    typed = None
    try:
        match request.match_info["action"]:
            case "revoke":
                await books.revoke(tenant, visit.user.id, key.id)
                return see_other(f"{here}?done=revoked")
            case "rotate":
                overlap = str(form.get("overlap", ""))
                if overlap not in OVERLAPS:
                    raise Refused("invalid", "Choose when the old key ends.", "overlap")
                minted, new = await books.rotate(tenant, visit.user.id, key.id, int(overlap) * SECOND_US)
                return _shown_once(request, visit, tenant, new, FreshKey(minted.text, new.name, OVERLAPS[overlap]))
            case "change":
                typed = read_form(form)
                wanted = parse(typed, zone_of(tenant))
                await books.change(
                    tenant,
                    visit.user.id,
                    key.id,
                    name=wanted.name,
                    scopes=wanted.scopes,
                    addresses=wanted.addresses,
                    expires_us=wanted.expires_us,
                )
                return see_other(f"{here}?done=changed")
            case _:
                raise web.HTTPNotFound
    except AccountError as error:
        return await _one(request, visit, tenant, key=key, form=typed, error=str(error), status=_status(error))


async def _find(request: web.Request, tenant: Tenant) -> Key:
    try:
        return await request.app[SERVICES].keys.get(tenant, request.match_info["key"])
    except Refused as error:
        raise web.HTTPNotFound from error


def _may_change(visit: Visit, key: Key) -> bool:
    """Writers change any key; who may create their own changes those that they made."""
    if may(visit.user, "keys", "write"):
        return True
    return may(visit.user, "keys", "create_own") and key.created_by == visit.user.id


def _base(visit: Visit, tenant: Tenant) -> str:
    return "/portal/keys" if visit.user.tenant else f"/admin/tenants/{quote(tenant.id, safe='')}/keys"


def _status(error: AccountError) -> int:
    return 400 if error.code == "invalid" else 409
