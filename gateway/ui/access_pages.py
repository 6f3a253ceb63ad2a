"""What lets a person in: personal tokens for programs (shown once), and the sessions in which they are logged in."""

from datetime import UTC, date, datetime, timedelta

from aiohttp import web

from gateway.accounts.refused import AccountError, Refused
from gateway.accounts.tokens import SCOPES, lives
from gateway.period import to_us
from gateway.tenants.names import is_name
from gateway.tenants.permissions import AREAS
from gateway.ui.access_contexts import AccessView, FreshToken, SessionLine, TokenForm, TokenLine
from gateway.ui.guard import Visit, see_other
from gateway.ui.keys import ONCE, SERVICES, SESSIONS
from gateway.ui.rendering import render

PATH = "/account/access"
MAX_NAME = 100
SHOWN = 100
NOTICES = {
    "made": "The token is made. It was shown once and is not shown again: revoke it if it was not copied.",
    "revoked": "The token is revoked.",
    "ended": "The session has ended.",
    "others": "Every other session has ended.",
}


async def page(request: web.Request, visit: Visit) -> web.StreamResponse:
    """``/account/access``."""
    return await _page(request, visit)


async def act(request: web.Request, visit: Visit) -> web.StreamResponse:
    """``POST /account/access/{action}``: all of it is the person's own."""
    form = await request.post()
    given = {name: value.strip() for name, value in form.items() if isinstance(value, str)}
    try:
        match request.match_info["action"]:
            case "create":
                return await _create(request, visit, tuple(map(str, form.getall("scope", []))), given)
            case "revoke":
                await request.app[SERVICES].tokens.revoke(visit.user, given.get("token", ""))
                done = "revoked"
            case "end":
                await _end(request, visit, given.get("session", ""))
                done = "ended"
            case "end-others":
                await _end(request, visit, "")
                done = "others"
            case _:
                raise web.HTTPNotFound
    except AccountError as error:
        if error.code == "not_found":
            raise web.HTTPNotFound from error
        status = 400 if error.code == "invalid" else 409
        form_again = TokenForm(given.get("name", "")[:MAX_NAME], given.get("expires", "")[:10])
        return await _page(request, visit, form_again, str(error), status)
    return see_other(f"{PATH}?done={done}")


async def _create(
    request: web.Request, visit: Visit, scopes: tuple[str, ...], given: dict[str, str]
) -> web.StreamResponse:
    name = given.get("name", "")
    if not is_name(name, MAX_NAME):
        raise Refused(
            "invalid", f"Give the token a name of at most {MAX_NAME} characters, without control characters.", "name"
        )
    if not scopes or not set(scopes) <= set(SCOPES):
        raise Refused("invalid", "Choose what the token may do.", "scope")
    text, token = await request.app[SERVICES].tokens.create(
        visit.user, name, tuple(dict.fromkeys(scopes)), _end_of(given.get("expires", ""))
    )
    request.app[ONCE].keep(visit.binding, PATH, FreshToken(text, token.name))
    return see_other(f"{PATH}?done=made")


def _end_of(text: str) -> int | None:
    """The midnight (UTC) after the last day; None without one."""
    if not text:
        return None
    try:
        after = date.fromisoformat(text) + timedelta(days=1)
        return to_us(datetime(after.year, after.month, after.day, tzinfo=UTC))
    except (ValueError, OverflowError):
        raise Refused("invalid", "The last day is a date such as 2030-01-31.", "expires") from None


async def _end(request: web.Request, visit: Visit, wanted: str) -> None:
    """End one of the person's sessions; without a name all but this one."""
    sessions = request.app[SESSIONS]
    mine = {session.id for session in await sessions.living(visit.user)}
    if wanted and wanted not in mine:
        raise web.HTTPNotFound
    for id in {wanted} if wanted else mine - {visit.binding}:
        await sessions.end(id)


async def _page(
    request: web.Request, visit: Visit, form: TokenForm | None = None, error: str = "", status: int = 200
) -> web.Response:
    now_us = request.app[SERVICES].clock.now()
    kept = request.app[ONCE].take(visit.binding, PATH) if request.method == "GET" else None
    fresh = kept if isinstance(kept, FreshToken) else None
    tokens = await request.app[SERVICES].tokens.list(visit.user)
    view = AccessView(
        tokens=tuple(
            TokenLine(one.id, one.name, one.hint, one.scopes, one.created_us, one.expires_us, one.last_used_us)
            for one in tokens
            if lives(one, now_us)
        ),
        sessions=tuple(
            SessionLine(one.id, one.address, one.created_us, one.idle_expires_us, one.id == visit.binding)
            for one in (await request.app[SESSIONS].living(visit.user))[:SHOWN]
        ),
        areas=AREAS,
        form=form or TokenForm(),
        fresh=fresh,
        error=error,
        notice="" if fresh else NOTICES.get(request.query.get("done", ""), ""),
    )
    return render(request, visit, "access.html", view, "Tokens and sessions", status=status)
