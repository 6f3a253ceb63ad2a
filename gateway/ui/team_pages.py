"""Teams: who works in an organisation, or for the gateway itself; roles, invitations, and who may no longer come in."""

from typing import cast
from urllib.parse import quote

from aiohttp import web

from gateway.accounts.refused import AccountError, Refused
from gateway.storage.values import Role
from gateway.tenants.model import Tenant
from gateway.tenants.permissions import PLATFORM_ROLES, TENANT_ROLES, is_role, may_give
from gateway.ui.contexts import PersonLine, TeamView
from gateway.ui.finding import any_tenant, own_tenant
from gateway.ui.guard import Visit, may, see_other
from gateway.ui.keys import SERVICES
from gateway.ui.rendering import render

PAGE = 50
NOTICES = {
    "invited": "The invitation is on its way; its link works for a week.",
    "changed": "Done.",
    "withdrawn": "The invitation is withdrawn.",
}


async def portal_team(request: web.Request, visit: Visit) -> web.StreamResponse:
    """``/portal/team``."""
    return await _page(request, visit, await own_tenant(request, visit))


async def portal_act(request: web.Request, visit: Visit) -> web.StreamResponse:
    """``POST /portal/team/{action}``."""
    return await _act(request, visit, await own_tenant(request, visit))


async def admin_tenant_team(request: web.Request, visit: Visit) -> web.StreamResponse:
    """``/admin/tenants/{id}/team``."""
    return await _page(request, visit, await any_tenant(request))


async def admin_tenant_act(request: web.Request, visit: Visit) -> web.StreamResponse:
    """``POST /admin/tenants/{id}/team/{action}``."""
    return await _act(request, visit, await any_tenant(request))


async def admin_team(request: web.Request, visit: Visit) -> web.StreamResponse:
    """``/admin/people``: the platform's own."""
    return await _page(request, visit, None)


async def admin_act(request: web.Request, visit: Visit) -> web.StreamResponse:
    """``POST /admin/people/{action}``."""
    return await _act(request, visit, None)


async def _page(
    request: web.Request,
    visit: Visit,
    tenant: Tenant | None,
    *,
    email: str = "",
    error: str = "",
    status: int = 200,
) -> web.Response:
    desk, now_us = request.app[SERVICES].team, request.app[SERVICES].clock.now()
    tenant_id = tenant.id if tenant else None
    people = await desk.people(tenant_id)
    after = request.query.get("after", "")
    start = next((place + 1 for place, user in enumerate(people) if user.id == after), 0)
    if after and not start:
        raise web.HTTPBadRequest
    shown = people[start : start + PAGE]
    write = may(visit.user, "team", "write")
    waiting = [
        one for one in await desk.invitations(tenant_id)
        if one.accepted_us is None and one.revoked_us is None and one.expires_us > now_us
    ]  # fmt: skip
    page = TeamView(
        base=_base(visit, tenant),
        people=tuple(
            PersonLine(user, write and user.id != visit.user.id and _gives(visit, user.role)) for user in shown
        ),
        invitations=tuple(waiting[:PAGE]),
        roles=tuple(role for role in (TENANT_ROLES if tenant else PLATFORM_ROLES) if _gives(visit, role)),
        may_write=write,
        me=visit.user.id,
        next=shown[-1].id if start + PAGE < len(people) else "",
        first=not start,
        email=email,
        error=error,
        notice=NOTICES.get(request.query.get("done", ""), ""),
    )
    title = "Team" if visit.user.tenant else f"Team of {tenant.name}" if tenant else "People"
    return render(request, visit, "team.html", page, title, tenant=tenant, status=status)


async def _act(request: web.Request, visit: Visit, tenant: Tenant | None) -> web.StreamResponse:
    form, desk, actor = await request.post(), request.app[SERVICES].team, visit.user
    tenant_id = tenant.id if tenant else None
    given = {name: value for name, value in form.items() if isinstance(value, str)}
    try:
        match request.match_info["action"]:
            case "invite":
                await desk.invite(actor, tenant, given.get("email", ""), _role(given, tenant))
                done = "invited"
            case "role":
                await desk.change(actor, tenant_id, given.get("person", ""), role=_role(given, tenant))
                done = "changed"
            case "disable" | "enable" as action:
                await desk.change(actor, tenant_id, given.get("person", ""), active=action == "enable")
                done = "changed"
            case "withdraw":
                await desk.withdraw(actor, tenant_id, given.get("invitation", ""))
                done = "withdrawn"
            case _:
                raise web.HTTPNotFound
    except AccountError as error:
        if error.code == "not_found":
            raise web.HTTPNotFound from error
        status = {"invalid": 400, "forbidden": 403}.get(error.code, 409)
        return await _page(request, visit, tenant, email=given.get("email", "")[:254], error=str(error), status=status)
    return see_other(f"{_base(visit, tenant)}?done={done}")


def _role(given: dict[str, str], tenant: Tenant | None) -> Role:
    role = given.get("role", "")
    if not is_role(role, of_tenant=tenant is not None):
        raise Refused("invalid", "Choose a role.", "role")
    return cast(Role, role)


def _gives(visit: Visit, role: str) -> bool:
    return may_give(visit.user.role, role, of_tenant=visit.user.tenant is not None)


def _base(visit: Visit, tenant: Tenant | None) -> str:
    if visit.user.tenant:
        return "/portal/team"
    return f"/admin/tenants/{quote(tenant.id, safe='')}/team" if tenant else "/admin/people"
