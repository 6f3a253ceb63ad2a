"""Who asks, and may they: the one place where credentials are read and the permission of an operation is decided."""

from typing import assert_never

from aiohttp import web

from gateway.accounts.tokens import PREFIX, in_scope
from gateway.api.operation import Actor, Allowed, Anyone, Call, LoggedIn, Operation, SelfKey
from gateway.api.problems import NOT_FOUND, ApiError
from gateway.http.networks import permitted
from gateway.storage.ports import PLATFORM, Scope
from gateway.tenants.credentials import classify
from gateway.tenants.model import Principal
from gateway.tenants.permissions import allows, knows

TENANT_HEADER = "X-Tenant-Id"
CHALLENGE = {"WWW-Authenticate": 'Bearer realm="gateway api"'}
MAX_CREDENTIAL = 4096


async def admit(operation: Operation, call: Call, *, portal: bool) -> None:
    """Fill in who asks and about whom, or raise ``ApiError``. ``portal``: the listener for tenants only."""
    permission = operation.permission
    match permission:
        case Anyone():
            return
        case SelfKey():
            call.principal = _key_of(call)
        case LoggedIn(by_token):
            call.actor = await _actor_of(call, portal=portal)
            if call.actor.token is not None and not by_token:
                raise ApiError("forbidden", "Log in for this: a personal token does not do.")
        case Allowed():
            if portal and permission.reach == "platform":
                raise NOT_FOUND
            call.actor = await _actor_of(call, portal=portal)
            await _choose_tenant(permission, call, call.actor)
            _check_role(permission, call.actor)
        case _:
            assert_never(permission)


def bearer(request: web.Request) -> str:
    """The text after ``Bearer``; empty without one."""
    values = request.headers.getall("Authorization", [])
    scheme, _, text = (values[0] if len(values) == 1 else "").partition(" ")
    return text.strip() if scheme.lower() == "bearer" and len(text) <= MAX_CREDENTIAL else ""


async def _actor_of(call: Call, *, portal: bool) -> Actor:
    text, services = bearer(call.request), call.services
    actor = None
    if text.startswith(PREFIX):
        by_token = await services.tokens.find(text)
        actor = Actor(by_token[1], token=by_token[0]) if by_token else None
    elif text:
        by_session = await services.sessions.find(text)
        actor = Actor(by_session[1], session=by_session[0]) if by_session else None
    if actor is None:
        raise ApiError("unauthenticated", headers=CHALLENGE)
    if portal and actor.user.tenant is None:
        raise NOT_FOUND  # the platform's people have no business on the tenants' listener
    return actor


def _key_of(call: Call) -> Principal:
    """The tenant's key, in X-API-Key or as Bearer, by the rules of the data plane."""
    given = call.request.headers.get("X-API-Key") or bearer(call.request)
    hash = classify(given.encode("utf-8", "replace")) if given else None
    principal = call.services.find_key(hash) if isinstance(hash, bytes) else None
    now = call.now_us
    if principal is None or principal.tenant.status == "closed":
        raise ApiError("unauthenticated", headers=CHALLENGE)
    key = principal.key
    ended = (key.revoked_us is not None and key.revoked_us <= now) or (key.expires_us or now + 1) <= now
    if ended or not permitted(key.addresses, call.address):
        raise ApiError("unauthenticated", headers=CHALLENGE)
    return principal


async def _choose_tenant(permission: Allowed, call: Call, actor: Actor) -> None:
    """Whose affairs these are. What a tenant's people may not see does not exist for them."""
    own = actor.user.tenant
    named = call.request.headers.get(TENANT_HEADER)
    if own is not None:
        if permission.reach == "platform" or not knows(of_tenant=True, area=permission.area):
            raise NOT_FOUND
        if named is not None:
            raise ApiError("tenant_header_forbidden")
        if permission.reach == "named" and call.params["tenant"] != own:
            raise NOT_FOUND
        call.tenant_or_none = await call.services.store.tenants.get(Scope(own), own)
        if call.tenant_or_none is None:
            raise NOT_FOUND
        return
    wanted = call.params["tenant"] if permission.reach == "named" else named
    if permission.reach == "platform":
        return
    if wanted is None:
        if permission.reach == "tenant":
            raise ApiError("tenant_required")
        return
    call.tenant_or_none = await call.services.store.tenants.get(PLATFORM, wanted)
    if call.tenant_or_none is None:
        raise NOT_FOUND


def _check_role(permission: Allowed, actor: Actor) -> None:
    of_tenant = actor.user.tenant is not None
    wanted = [permission.access] + ([permission.or_access] if permission.or_access else [])
    area = permission.area
    if not any(allows(actor.user.role, of_tenant=of_tenant, area=area, access=access) for access in wanted):
        raise ApiError("forbidden", f"The role {actor.user.role} may not {permission.access} {area}.")
    if actor.token is not None and not in_scope(actor.token.scopes, area, permission.access):
        kind = "read" if permission.access == "read" else "write"
        raise ApiError("insufficient_scope", f"The token lacks the scope {area}:{kind}.")
