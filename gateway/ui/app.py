"""The pages as one application: every address, who may enter it, and what it needs to run."""

import logging
from collections.abc import Awaitable, Callable
from typing import Literal
from urllib.parse import quote, urlsplit

from aiohttp import web

from gateway.accounts.sessions import Sessions
from gateway.accounts.throttle import LoginThrottle, Throttle
from gateway.clock import SECOND_US
from gateway.data_files import data_root
from gateway.errors import StoreUnavailable
from gateway.storage.ports import PLATFORM
from gateway.ui import (
    access_pages,
    catalogue_pages,
    doors,
    entrance,
    invoice_pages,
    key_pages,
    line_pages,
    note_pages,
    operating_pages,
    pages,
    payment_pages,
    plan_pages,
    settings_pages,
    team_pages,
    tenant_pages,
    try_pages,
    usage_pages,
)
from gateway.ui.assets import Assets
from gateway.ui.contexts import Message
from gateway.ui.guard import SECURITY_HEADERS, Access, Handler, Need, NotForRole, guarded, safe_next
from gateway.ui.keys import (
    ACCOUNTS,
    ASSETS,
    LIVE,
    ONCE,
    PLATFORM_READER,
    RECONCILING,
    SERVICES,
    SESSIONS,
    THROTTLE,
    TRIES,
)
from gateway.ui.live import LiveHub
from gateway.ui.once import Once
from gateway.ui.platform_reading import PlatformReader
from gateway.ui.reconciling import Reconciling
from gateway.ui.rendering import message, setup_templates
from gateway.ui.services import UiServices

ROUTES: tuple[tuple[str, str, Access, Handler], ...] = (
    ("GET", "/", "anyone", doors.home),
    ("GET", "/login", "anyone", doors.login_page),
    ("POST", "/login", "anyone", doors.log_in),
    ("GET", "/login/link", "anyone", doors.follow_link),
    ("GET", "/register", "anyone", entrance.register_page),
    ("POST", "/register", "anyone", entrance.register),
    ("GET", "/verify", "anyone", entrance.verify_page),
    ("POST", "/verify", "anyone", entrance.verify),
    ("GET", "/forgot", "anyone", entrance.forgot_page),
    ("POST", "/forgot", "anyone", entrance.forgot),
    ("GET", "/reset", "anyone", entrance.reset_page),
    ("POST", "/reset", "anyone", entrance.reset),
    ("GET", "/invite", "anyone", entrance.invite_page),
    ("POST", "/invite", "anyone", entrance.accept),
    ("POST", "/theme", "anyone", doors.set_theme),
    ("POST", "/logout", "person", doors.log_out),
    ("GET", "/account", "person", doors.account_page),
    ("POST", "/account/password", "person", doors.change_password),
    ("GET", "/account/access", "person", access_pages.page),
    ("POST", "/account/access/{action}", "person", access_pages.act),
    ("GET", "/portal/settings", Need("tenant", "settings"), settings_pages.portal_settings),
    ("POST", "/portal/settings", Need("tenant", "settings", "write"), settings_pages.portal_save),
    ("GET", "/admin/tenants/{id}/settings", Need("platform", "settings"), settings_pages.admin_settings),
    ("POST", "/admin/tenants/{id}/settings", Need("platform", "settings", "write"), settings_pages.admin_save),
    ("GET", "/admin", "platform", pages.admin_overview),
    ("GET", "/admin/live", "platform", pages.live),
    ("GET", "/admin/calls", "platform", pages.admin_calls),
    ("GET", "/admin/routes", "platform", pages.admin_routes),
    ("GET", "/admin/tenants", "platform", pages.admin_tenants),
    ("GET", "/admin/tenants/{id}", "platform", pages.admin_tenant),
    ("GET", "/admin/tenants/{id}/calls", "platform", pages.admin_tenant_calls),
    ("GET", "/portal", "tenant", pages.portal),
    ("GET", "/portal/live", "tenant", pages.live),
    ("GET", "/portal/calls", "tenant", pages.portal_calls),
    ("GET", "/portal/usage", "tenant", usage_pages.portal_usage),
    ("GET", "/portal/keys", Need("tenant", "keys"), key_pages.portal_keys),
    ("POST", "/portal/keys", Need("tenant", "keys", "create_own"), key_pages.portal_create),
    ("GET", "/portal/keys/{key}", Need("tenant", "keys"), key_pages.portal_key),
    ("POST", "/portal/keys/{key}/{action}", Need("tenant", "keys", "create_own"), key_pages.portal_act),
    ("GET", "/admin/tenants/{id}/keys", Need("platform", "keys"), key_pages.admin_keys),
    ("POST", "/admin/tenants/{id}/keys", Need("platform", "keys", "write"), key_pages.admin_create),
    ("GET", "/admin/tenants/{id}/keys/{key}", Need("platform", "keys"), key_pages.admin_key),
    ("POST", "/admin/tenants/{id}/keys/{key}/{action}", Need("platform", "keys", "write"), key_pages.admin_act),
    ("GET", "/portal/team", Need("tenant", "team"), team_pages.portal_team),
    ("POST", "/portal/team/{action}", Need("tenant", "team", "write"), team_pages.portal_act),
    ("GET", "/admin/people", Need("platform", "team"), team_pages.admin_team),
    ("POST", "/admin/people/{action}", Need("platform", "team", "write"), team_pages.admin_act),
    ("GET", "/admin/tenants/{id}/team", Need("platform", "team"), team_pages.admin_tenant_team),
    ("POST", "/admin/tenants/{id}/team/{action}", Need("platform", "team", "write"), team_pages.admin_tenant_act),
    ("GET", "/portal/invoices", Need("tenant", "invoices"), invoice_pages.portal_invoices),
    ("GET", "/portal/invoices/{invoice}", Need("tenant", "invoices"), invoice_pages.portal_invoice),
    (
        "GET",
        "/portal/invoices/{invoice}/{form:pdf|html|csv}",
        Need("tenant", "invoices"),
        invoice_pages.portal_document,
    ),
    ("GET", "/portal/credit-notes/{note}/{form:pdf|html|csv}", Need("tenant", "invoices"), note_pages.portal_note),
    ("GET", "/admin/credit-notes/{note}/{form:pdf|html|csv}", Need("platform", "invoices"), note_pages.admin_note),
    ("GET", "/portal/invoices/{invoice}/lines/{line:[0-9]{1,6}}", Need("tenant", "usage"), line_pages.portal_line),
    ("GET", "/admin/invoices/{invoice}/lines/{line:[0-9]{1,6}}", Need("platform", "usage"), line_pages.admin_line),
    ("POST", "/portal/invoices/{invoice}/pay", Need("tenant", "invoices", "pay"), payment_pages.portal_pay),
    (
        "POST",
        "/admin/invoices/{invoice}/payments/{payment}/{action:confirm|reject}",
        Need("platform", "invoices", "write"),
        payment_pages.admin_settle,
    ),
    ("GET", "/admin/invoices", Need("platform", "invoices"), invoice_pages.admin_invoices),
    ("GET", "/admin/invoices/{invoice}", Need("platform", "invoices"), invoice_pages.admin_invoice),
    (
        "GET",
        "/admin/invoices/{invoice}/{form:pdf|html|csv}",
        Need("platform", "invoices"),
        invoice_pages.admin_document,
    ),
    ("POST", "/admin/invoices/{invoice}/{action}", Need("platform", "invoices", "write"), invoice_pages.admin_act),
    ("GET", "/admin/tenants/{id}/invoices", Need("platform", "invoices"), invoice_pages.admin_tenant_invoices),
    ("GET", "/portal/plan", Need("tenant", "subscription"), plan_pages.portal_plan),
    ("POST", "/portal/plan/{action}", Need("tenant", "subscription", "write"), plan_pages.portal_act),
    ("GET", "/admin/tenants/{id}/plan", Need("platform", "subscription"), plan_pages.admin_plan),
    ("POST", "/admin/tenants/{id}/plan/{action}", Need("platform", "subscription", "write"), plan_pages.admin_act),
    ("GET", "/admin/plans", Need("platform", "platform"), catalogue_pages.plans),
    ("GET", "/admin/plans/{plan}", Need("platform", "platform"), catalogue_pages.plan),
    ("GET", "/admin/new-tenant", Need("platform", "platform", "write"), tenant_pages.new_page),
    ("POST", "/admin/new-tenant", Need("platform", "platform", "write"), tenant_pages.create),
    ("POST", "/admin/tenants/{id}/state/{action}", Need("platform", "platform", "write"), tenant_pages.move),
    ("GET", "/portal/audit", Need("tenant", "audit"), operating_pages.portal_audit),
    ("GET", "/admin/audit", Need("platform", "audit"), operating_pages.admin_audit),
    ("GET", "/admin/tenants/{id}/audit", Need("platform", "audit"), operating_pages.admin_tenant_audit),
    ("GET", "/admin/config", Need("platform", "platform"), operating_pages.configuration),
    ("GET", "/admin/outbox", Need("platform", "team", "write"), operating_pages.outbox),
    ("GET", "/admin/reconcile", Need("platform", "platform"), operating_pages.reconciliation),
    ("POST", "/admin/reconcile", Need("platform", "platform"), operating_pages.reconcile),
    ("GET", "/portal/try", "tenant", try_pages.try_page),
    ("POST", "/portal/try", "tenant", try_pages.try_call),
    ("GET", "/admin/tenants/{id}/usage", "platform", usage_pages.admin_usage),
)

OWN_PAGES = "login register verify forgot reset invite logout account admin portal theme static"
OWN_PATHS = tuple(f"/{name}" for name in OWN_PAGES.split())
PROBLEMS: dict[int | Literal["role"], tuple[str, str]] = {
    "role": ("Not with your role", "Your role may not do this. An owner or an administrator can."),
    400: ("That request makes no sense", "The address or the form is not one of ours."),
    401: ("Log in first", "Your session has ended, and nothing was changed. Log in and send the form again."),
    403: (
        "That form did not come from here",
        "It was open too long, or sent from another site. Nothing was changed: open it anew and send it again.",
    ),
    404: ("Nothing here", "This page does not exist, or is not yours to see."),
    405: ("Not like that", "This address does not take such a request."),
    413: ("Too much", "The form is larger than any of ours."),
    500: ("Our mistake", "This page failed. The log says why; calls are served and recorded as ever."),
    503: ("One moment", "The store does not answer just now. Calls are served and recorded meanwhile."),
}

logger = logging.getLogger(__name__)


def build_ui(services: UiServices) -> web.Application:
    """An application with all pages. The caller may add routes of its own (health, metrics, API) before it starts."""
    app = web.Application(middlewares=[_errors_as_pages], client_max_size=128 * 1024)
    assets = Assets(data_root() / "static")
    store = services.store
    app[SERVICES] = services
    app[SESSIONS] = Sessions(store.people, services.clock, services.secret)
    app[ACCOUNTS] = services.accounts
    app[THROTTLE] = LoginThrottle()
    app[TRIES] = Throttle(30, 2 * SECOND_US)
    app[RECONCILING] = Reconciling(services.compare)
    app[ASSETS] = assets
    app[ONCE] = Once(services.clock)
    app[PLATFORM_READER] = PlatformReader(services)
    app[LIVE] = LiveHub(lambda: store.ledger.posting_sequence(PLATFORM))
    setup_templates(app, assets)
    for method, path, access, handler in ROUTES:
        app.router.add_route(method, path, guarded(access, handler))
        if method == "GET" and handler not in (doors.follow_link, pages.live):  # asking for a head uses no link up
            app.router.add_route("HEAD", path, guarded(access, handler))
    app.router.add_get("/static/{name}", assets.serve)
    app.on_response_prepare.append(_secure)
    app.on_shutdown.append(_stop_live)
    return app


async def _stop_live(app: web.Application) -> None:
    await app[LIVE].close()
    await app[PLATFORM_READER].close()


async def _secure(request: web.Request, response: web.StreamResponse) -> None:
    """The headers of every answer of this application; one that a handler set itself stays."""
    for name, value in SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)


@web.middleware
async def _errors_as_pages(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """People get a page for an error; other rooms' addresses and programs keep their own answers."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400 or not _wants_page(request):
            raise
        return _problem(request, "role" if isinstance(error, NotForRole) else error.status, dict(error.headers))
    except StoreUnavailable as error:
        if not _is_own(request):
            raise
        logger.warning("a page met an unavailable store", extra={"path": request.path, "error": str(error)})
        return _problem(request, 503, {"Retry-After": "2"})
    except Exception:
        if not _is_own(request):
            raise
        logger.exception("a page failed", extra={"path": request.path})
        return _problem(request, 500, {})


def _is_own(request: web.Request) -> bool:
    return request.path == "/" or any(request.path == p or request.path.startswith(p + "/") for p in OWN_PATHS)


def _wants_page(request: web.Request) -> bool:
    return _is_own(request) or (
        "text/html" in request.headers.get("Accept", "") and not request.path.startswith("/api/")
    )


def _came_from(request: web.Request) -> str:
    """The page of ours whose form this is."""
    try:
        return safe_next(urlsplit(request.headers.get("Referer", "")).path)
    except ValueError:
        return "/"


def _problem(request: web.Request, kind: int | Literal["role"], headers: dict[str, str]) -> web.Response:
    status = 403 if kind == "role" else kind
    heading, text = PROBLEMS.get(kind, ("That did not work", "The request was refused."))
    action, where = "Back to the start", "/"
    came = _came_from(request) if request.method == "POST" else "/"
    if kind == 401:
        action, where = "Log in", f"/login?next={quote(came, safe='')}"
    elif kind == 403 and came != "/":
        action, where = "Back to the form", came
    response = message(request, None, Message(status, heading, text, action, where))
    for name in ("Retry-After", "Allow", "WWW-Authenticate"):
        if name in headers:
            response.headers[name] = headers[name]
    return response
