"""Coming and going: login, one-time links, logout, the person's own account and the theme."""

import hashlib

from aiohttp import web

from gateway.accounts.refused import AccountError
from gateway.accounts.sessions import ABSOLUTE_US, COOKIE
from gateway.clock import SECOND_US
from gateway.config.accounts import account_settings
from gateway.ui.contexts import AccountForm, LoginForm, Message
from gateway.ui.guard import Visit, caller, is_here, safe_next, see_other, set_cookie
from gateway.ui.keys import ACCOUNTS, SERVICES, SESSIONS, THROTTLE
from gateway.ui.rendering import THEME_COOKIE, THEMES, message, render

WRONG = "That e-mail and password do not match an account."
YEAR_SECONDS = 365 * 24 * 3600


async def home(request: web.Request, visit: Visit) -> web.StreamResponse:
    """To the first page of whoever asks."""
    if visit.visitor is None:
        return see_other("/login")
    return see_other("/admin" if visit.user.tenant is None else "/portal")


async def login_page(request: web.Request, visit: Visit) -> web.StreamResponse:
    """The form; somebody with a session goes on."""
    if visit.visitor is not None:
        return see_other(safe_next(request.query.get("next", "/")))
    return _login_form(request, visit, request.query.get("next", "/"))


async def log_in(request: web.Request, visit: Visit) -> web.StreamResponse:
    """Prove the password; the same words and the same work whatever was wrong."""
    form = await request.post()
    email, password, then = (_text(form.get(name)) for name in ("email", "password", "next"))
    # Known here by a hash of what was typed: overlong input costs no memory, and nobody learns which accounts exist.
    account = hashlib.sha256(email.strip().lower().encode("utf-8", "replace")).hexdigest()
    address = caller(request)
    throttle, now_us = request.app[THROTTLE], request.app[SERVICES].clock.now()
    wait_us = throttle.admit(account, address, now_us)
    if wait_us:
        seconds = -(-wait_us // SECOND_US)
        error = f"Too many tries. Wait {seconds} s and try again."
        response = _login_again(request, visit, then, email, error, 429)
        response.headers["Retry-After"] = str(seconds)
        return response
    try:
        user = await request.app[ACCOUNTS].prove(email, password)
    except AccountError as error:  # the password is right, but the address is not verified
        return _login_again(request, visit, then, email, str(error), 403)
    if user is None or not is_here(request, user):
        return _login_again(request, visit, then, email, WRONG, 401)
    throttle.succeeded(account)
    return await enter(request, visit, await request.app[SESSIONS].open(user, address), safe_next(then))


def _login_again(request: web.Request, visit: Visit, then: str, email: str, error: str, status: int) -> web.Response:
    return _login_form(request, visit, then, email[:254], error, status)


def _login_form(
    request: web.Request, visit: Visit, then: str, email: str = "", error: str = "", status: int = 200
) -> web.Response:
    settings = account_settings(request.app[SERVICES].snapshot().source)
    page = LoginForm(safe_next(then), email, error, settings.registration == "open")
    return render(request, visit, "login.html", page, "Log in", status=status)


async def follow_link(request: web.Request, visit: Visit) -> web.StreamResponse:
    """Use a one-time link up and go on without its token in the address."""
    if "prefetch" in f"{request.headers.get('Sec-Purpose', '')} {request.headers.get('Purpose', '')}".lower():
        raise web.HTTPServiceUnavailable(text="A link that works once is not opened ahead of time.\n")
    redeemed = await request.app[ACCOUNTS].redeem(request.query.get("token", ""))
    if redeemed is None:
        text = "It was used already, is too old, or was cut short. Ask for a new one, or log in with your password."
        return message(request, visit, Message(410, "This link no longer works", text, "Log in", "/login"))
    cookie = await request.app[SESSIONS].open(redeemed.user, caller(request))
    return await enter(request, visit, cookie, "/" if redeemed.purpose == "login" else "/account")


async def enter(request: web.Request, visit: Visit, cookie: str, where: str) -> web.StreamResponse:
    """Hand out the new session; the one that the browser came with ends (sessions are rotated at login)."""
    if visit.visitor is not None:
        await request.app[SESSIONS].end(visit.visitor.session.id)
    response = see_other(where)
    set_cookie(request, response, COOKIE, cookie, max_age=ABSOLUTE_US // SECOND_US)
    return response


async def log_out(request: web.Request, visit: Visit) -> web.StreamResponse:
    """End the session here and in the store."""
    if visit.visitor is not None:
        await request.app[SESSIONS].end(visit.visitor.session.id)
    response = see_other("/login")
    response.del_cookie(COOKIE, path="/")
    return response


async def account_page(request: web.Request, visit: Visit) -> web.StreamResponse:
    """The person's own page."""
    notice = "Your password is changed, and every other session has ended." if "changed" in request.query else ""
    return _account(request, visit, notice=notice)


def _account(
    request: web.Request, visit: Visit, *, error: str = "", notice: str = "", status: int = 200
) -> web.Response:
    form = AccountForm(bool(visit.user.password_hash), error, notice)
    return render(request, visit, "account.html", form, "Your account", status=status)


async def change_password(request: web.Request, visit: Visit) -> web.StreamResponse:
    """Set a password. Who has one already proves it first: an open laptop is no account."""
    user, form, accounts = visit.user, await request.post(), request.app[ACCOUNTS]
    current, password, again = (_text(form.get(name)) for name in ("current", "password", "again"))
    if password != again:
        return _account(request, visit, error="The two new passwords differ.", status=400)
    if user.password_hash:
        throttle, now_us = request.app[THROTTLE], request.app[SERVICES].clock.now()
        if throttle.admit(user.id, caller(request), now_us):
            return _account(request, visit, error="Too many tries. Wait a minute and try again.", status=429)
        if await accounts.prove(user.email, current) is None:
            return _account(request, visit, error="The current password is not right.", status=400)
        throttle.succeeded(user.id)
    try:
        await accounts.set_password(user, password)
    except AccountError as error:
        return _account(request, visit, error=str(error), status=400)
    return await enter(request, visit, await request.app[SESSIONS].open(user, caller(request)), "/account?changed")


async def set_theme(request: web.Request, visit: Visit) -> web.StreamResponse:
    """Remember light, dark or the machine's own choice, and go back."""
    form = await request.post()
    wanted, back = _text(form.get("theme")), _text(form.get("back"))
    response = see_other("/login" if back == "/login" else safe_next(back))
    if wanted in THEMES:
        set_cookie(request, response, THEME_COOKIE, wanted, max_age=YEAR_SECONDS)
    return response


def _text(value: object) -> str:
    """A form's text field; a file or a missing field is the empty text."""
    return value if isinstance(value, str) else ""
