"""Who may enter which page, and that a form was sent by our own page: the one place where both are decided."""

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote, urlsplit

from aiohttp import web

from gateway.accounts.sessions import COOKIE, Visitor
from gateway.http.networks import client_address
from gateway.storage.values import User
from gateway.tenants.permissions import Access as Right
from gateway.tenants.permissions import Area, allows, knows
from gateway.ui.keys import OF_TENANTS, ONCE, SERVICES, SESSIONS
from gateway.ui.once import form_id


@dataclass(frozen=True, slots=True)
class Need:
    """A page of one side's people that asks for a right in an area of the permission table."""

    side: Literal["platform", "tenant"]
    area: Area
    right: Right = "read"


Access = Literal["anyone", "person", "platform", "tenant"] | Need


class NotForRole(web.HTTPForbidden):
    """A page of the visitor's own side, for other roles."""


@dataclass(frozen=True, slots=True)
class Visit:
    """Who asks. ``nonce`` binds the forms of a browser without a session."""

    visitor: Visitor | None
    nonce: str

    @property
    def user(self) -> User:
        """The person; only behind a door that lets nobody else in."""
        if self.visitor is None:
            raise web.HTTPForbidden
        return self.visitor.user

    @property
    def binding(self) -> str:
        """What the CSRF token of this visit's pages is bound to."""
        return self.visitor.session.id if self.visitor else f"form {self.nonce}"


Handler = Callable[[web.Request, Visit], Awaitable[web.StreamResponse]]
Door = Callable[[web.Request], Awaitable[web.StreamResponse]]

NONCE_COOKIE = "gw_form"
MAX_FORM = 64 * 1024

SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not "no-referrer": with it browsers send "Origin: null" with our own forms.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


def guarded(access: Access, handler: Handler) -> Door:
    """The handler behind its door. Foreign doors are 404: nobody learns what is behind them."""

    async def enter(request: web.Request) -> web.StreamResponse:
        if "\0" in request.path or any("\0" in value for value in request.query.values()):
            raise web.HTTPNotFound  # no name of ours holds one, and PostgreSQL takes none
        visitor = await request.app[SESSIONS].find(request.cookies.get(COOKIE, ""))
        if visitor is not None and not is_here(request, visitor.user):
            visitor = None
        visit = Visit(visitor, request.cookies.get(NONCE_COOKIE, "")[:64] or secrets.token_urlsafe(18))
        if access != "anyone":
            if visitor is None:
                raise _login_first(request)
            _check_access(request, access, visitor.user)
        if request.method == "POST":
            await _check_form(request, visit)
        response = (
            await _act_once(request, visit, handler) if request.method == "POST" else await handler(request, visit)
        )
        if visitor is None and not response.prepared and visit.nonce != request.cookies.get(NONCE_COOKIE):
            set_cookie(request, response, NONCE_COOKIE, visit.nonce)
        return response

    return enter


async def _act_once(request: web.Request, visit: Visit, handler: Handler) -> web.StreamResponse:
    """A form of a person that comes twice (a double click, a reload) acts once and leads to the same page."""
    form = await request.post()
    if visit.visitor is None or not form.get("once"):
        return await handler(request, visit)
    answers: list[web.StreamResponse] = []

    async def act() -> str:
        answers.append(await handler(request, visit))
        return answers[0].headers.get("Location", "") if answers[0].status == 303 else ""

    where = await request.app[ONCE].act(form_id(visit.binding, request.path, form), act)
    return answers[0] if answers else see_other(where)


def _login_first(request: web.Request) -> web.HTTPException:
    if request.method in ("GET", "HEAD") and not request.path.endswith("/live") and "fragment" not in request.query:
        return web.HTTPSeeOther(f"/login?next={quote(request.path, safe='')}")
    return web.HTTPUnauthorized(text="Log in first.\n", headers={"WWW-Authenticate": "Cookie"})


def _check_access(request: web.Request, access: Access, user: User) -> None:
    of_tenant = user.tenant is not None
    if isinstance(access, Need):
        if of_tenant != (access.side == "tenant") or not knows(of_tenant=of_tenant, area=access.area):
            raise web.HTTPNotFound
        if not may(user, access.area, access.right):
            raise NotForRole
        return
    if access == "platform" and not allows(user.role, of_tenant=of_tenant, area="platform", access="read"):
        raise web.HTTPNotFound
    if access == "tenant" and not of_tenant:
        raise web.HTTPSeeOther("/admin") if request.path == "/portal" else web.HTTPNotFound()


def is_here(request: web.Request, user: User) -> bool:
    """Whether the listener that was asked knows the person: that of the tenants knows nobody of the platform."""
    return user.tenant is not None or not request.get(OF_TENANTS, False)


def may(user: User, area: Area, right: Right = "read") -> bool:
    """Whether the person's role has a right; what a template hides, the door refuses by the same table."""
    return allows(user.role, of_tenant=user.tenant is not None, area=area, access=right)


async def _check_form(request: web.Request, visit: Visit) -> None:
    """A form comes from our own pages: by Sec-Fetch-Site, by Origin, and by its CSRF token."""
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        raise web.HTTPForbidden(text="This form was sent from another site.\n")
    origin = request.headers.get("Origin")
    if origin is not None and not _own_origin(request, origin):
        raise web.HTTPForbidden(text="This form was sent from another site.\n")
    if (request.content_length or 0) > MAX_FORM:
        raise web.HTTPRequestEntityTooLarge(MAX_FORM, request.content_length or 0)
    try:
        form = await request.post()
    except ValueError:  # text that is not UTF-8, or a body that is no form
        raise web.HTTPBadRequest from None
    if any(isinstance(value, str) and "\0" in value for value in form.values()):
        raise web.HTTPBadRequest
    token = form.get("csrf")
    if not isinstance(token, str) or not request.app[SESSIONS].csrf_matches(visit.binding, token):
        raise web.HTTPForbidden(text="This page was open too long. Go back, reload it and try again.\n")


def _own_origin(request: web.Request, origin: str) -> bool:
    try:
        sent, public = urlsplit(origin), urlsplit(request.app[SERVICES].snapshot().server.public_url)
    except ValueError:
        return False
    if sent.scheme not in ("http", "https") or not sent.netloc:
        return False
    # The host that the browser spoke to is ours too: a person may use localhost where public_url says 127.0.0.1.
    return (sent.scheme, sent.netloc) == (public.scheme, public.netloc) or sent.netloc == request.host


def caller(request: web.Request) -> str:
    """The address of whoever asks, which is not that of a trusted proxy: tries are counted by it."""
    trusted = request.app[SERVICES].snapshot().server.trusted_proxies
    return client_address(trusted, request.remote or "", request.headers.getall("X-Forwarded-For", []))


def is_https(request: web.Request) -> bool:
    """Whether people reach us by https, so that cookies must be Secure."""
    return request.app[SERVICES].snapshot().server.public_url.startswith("https:")


def set_cookie(request: web.Request, response: web.StreamResponse, name: str, value: str, **more: int) -> None:
    """A host-only cookie that scripts cannot read and other sites cannot send."""
    response.set_cookie(
        name, value, path="/", httponly=True, samesite="Lax", secure=is_https(request), max_age=more.get("max_age")
    )


def safe_next(text: str) -> str:
    """A path of ours to go on to after login; anything else is ``/`` (no open redirect)."""
    inside = text.startswith(("/admin", "/portal", "/account")) and text.isascii() and text.isprintable()
    return text if inside and "\\" not in text and "//" not in text and len(text) < 512 else "/"


def see_other(where: str) -> web.Response:
    """On to another page, by GET (303)."""
    return web.Response(status=303, headers={"Location": where, "Cache-Control": "no-store"})
