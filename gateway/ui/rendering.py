"""Templates: the environment, the frame around every page, and the answer."""

import secrets
from collections.abc import Callable
from typing import Any

import aiohttp_jinja2
import jinja2
from aiohttp import web

from gateway.data_files import data_root
from gateway.invoicing.locales import marked
from gateway.storage.account_values import TenantSettings
from gateway.tenants.model import Tenant
from gateway.tenants.zones import zone_of
from gateway.ui.assets import Assets
from gateway.ui.contexts import Message, Shell, Theme
from gateway.ui.formats import FIGURES, FILTERS, day, moment
from gateway.ui.guard import Visit
from gateway.ui.keys import SERVICES, SESSIONS, WAYS

THEMES: tuple[Theme, ...] = ("auto", "light", "dark")
THEME_COOKIE = "gw_theme"


def setup_templates(app: web.Application, assets: Assets) -> None:
    """Install the environment: escaping always on, an unknown name in a template is an error."""
    env = aiohttp_jinja2.setup(
        app,
        loader=jinja2.FileSystemLoader(data_root() / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    env.filters.update(FILTERS)
    env.filters.update({name: _figure(write) for name, write in FIGURES.items()})
    env.filters.update({"day": _date(day), "moment": _date(moment)})
    env.globals["asset"] = assets.url


def _figure(write: Callable[..., str]) -> Callable[..., str]:
    """The filter as the reader's language writes figures."""

    @jinja2.pass_context
    def written(context: jinja2.runtime.Context, *given: object) -> str:
        return marked(write(*given), context["shell"].locale)

    return written


def _date(write: Callable[[int, str, str], str]) -> Callable[..., str]:
    """The filter as the reader wants dates to be written."""

    @jinja2.pass_context
    def written(context: jinja2.runtime.Context, us: int, zone: str = "UTC") -> str:
        return write(us, zone, context["shell"].date_format)

    return written


def render(
    request: web.Request,
    visit: Visit | None,
    template: str,
    page: object,
    title: str,
    *,
    tenant: Tenant | None = None,
    live: str = "",
    status: int = 200,
) -> web.Response:
    """A page in its frame, or, for ``?fragment=live``, only its moving part."""
    ways = request[WAYS] if WAYS in request else TenantSettings()
    wanted = request.cookies.get(THEME_COOKIE, "auto")
    shell = Shell(
        title=title,
        path=request.path,
        user=visit.visitor.user if visit and visit.visitor else None,
        tenant=tenant,
        csrf=request.app[SESSIONS].csrf_token(visit.binding) if visit else "",
        once=secrets.token_urlsafe(12),
        theme=next((theme for theme in THEMES if theme == wanted), "auto"),
        now_us=request.app[SERVICES].clock.now(),
        zone=zone_of(tenant).key if tenant else "UTC",
        locale=ways.locale,
        date_format=ways.date_format,
        live=live,
        fragment=bool(live) and request.query.get("fragment") == "live",
    )
    context: dict[str, Any] = {"shell": shell, "page": page}
    response = aiohttp_jinja2.render_template(template, request, context, status=status)
    response.headers["Cache-Control"] = "no-store"
    return response


def message(request: web.Request, visit: Visit | None, page: Message) -> web.Response:
    """A page that only says something."""
    return render(request, visit, "message.html", page, page.heading, status=page.status)
