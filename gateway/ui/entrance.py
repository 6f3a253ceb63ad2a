"""How people come in by themselves: register, confirm an address, forget and set a password, accept an invitation.

Links in messages are opened by GET and used by POST: a program that looks at links uses none up.
"""

import hashlib
from dataclasses import replace

from aiohttp import web

from gateway.accounts.refused import AccountError
from gateway.clock import SECOND_US
from gateway.config.accounts import account_settings
from gateway.tenants.names import is_name
from gateway.ui.contexts import EntranceForm, Field, Message
from gateway.ui.doors import enter
from gateway.ui.guard import Visit, caller
from gateway.ui.keys import SERVICES, SESSIONS, THROTTLE
from gateway.ui.rendering import message, render

AS_NAMES = "in at most 100 characters, without control characters"
EMAIL = Field("email", "E-mail", "email", "username", 254)
PASSWORD = Field("password", "Password", "password", "new-password", 256, hint="At least 10 characters; a few words.")
YOUR_NAME = Field("name", "Your name", "text", "name", 100)
ORGANISATION = Field("organisation", "Organisation", "text", "organization", 100)

REGISTER = EntranceForm(
    "/register", "Create an account", "For you and your organisation.", "Register",
    (ORGANISATION, YOUR_NAME, EMAIL, PASSWORD),
)  # fmt: skip
VERIFY = EntranceForm("/verify", "Confirm your address", "One click, and you can log in.", "Confirm", ())
FORGOT = EntranceForm(
    "/forgot", "Forgot your password?", "We send a link for a new one. The old one works until then.",
    "Send the link", (EMAIL,),
)  # fmt: skip
RESET = EntranceForm("/reset", "Choose a new password", "Every session of yours ends.", "Save", (PASSWORD,))
INVITE = EntranceForm("/invite", "Join", "You were invited. Say who you are.", "Join", (YOUR_NAME, PASSWORD))
SENT = "If there is an account with this address, a message is on its way. Its link works for an hour."
WELCOME = "If this address is new here, its account is made. If a message has to be confirmed first, it is on its way."


async def register_page(request: web.Request, visit: Visit) -> web.StreamResponse:
    """``/register``, with an invitation's token where only invited people may."""
    token = _token(request.query.get("token", ""))
    open_to_all = account_settings(request.app[SERVICES].snapshot().source).registration == "open"
    if not token and not open_to_all:
        raise web.HTTPNotFound
    return _form(request, visit, replace(REGISTER, token=token))


async def register(request: web.Request, visit: Visit) -> web.StreamResponse:
    """Make the organisation; the answer tells nobody whether the address was known."""
    sent = await _sent(request)
    form = replace(REGISTER, token=_token(sent.get("token", "")))
    names = sent["organisation"], sent["name"]
    if not all(is_name(name, 100) for name in names):
        return _form(request, visit, form, sent, f"Say your name and your organisation's, {AS_NAMES}.")
    waiting = _throttled(request, visit, form, sent)
    if waiting is not None:
        return waiting
    try:
        await request.app[SERVICES].registration.register(*names, sent["email"], sent["password"], form.token)
    except AccountError as error:
        return _form(request, visit, form, sent, str(error))
    return message(request, visit, Message(200, "Thank you", WELCOME, "Log in", "/login"))


async def verify_page(request: web.Request, visit: Visit) -> web.StreamResponse:
    """``/verify?token=…``."""
    return _form(request, visit, replace(VERIFY, token=_token(request.query.get("token", ""))))


async def verify(request: web.Request, visit: Visit) -> web.StreamResponse:
    """Use the link up."""
    sent = await _sent(request)
    try:
        await request.app[SERVICES].registration.verify(_token(sent["token"]))
    except AccountError as error:
        return _over(request, visit, error)
    return message(request, visit, Message(200, "Confirmed", "Your address is confirmed.", "Log in", "/login"))


async def forgot_page(request: web.Request, visit: Visit) -> web.StreamResponse:
    """``/forgot``."""
    return _form(request, visit, FORGOT)


async def forgot(request: web.Request, visit: Visit) -> web.StreamResponse:
    """Send a link, if there is somebody to send it to; the answer is the same."""
    sent = await _sent(request)
    waiting = _throttled(request, visit, FORGOT, sent)
    if waiting is not None:
        return waiting
    request.app[SERVICES].registration.forgot(sent["email"])
    return message(request, visit, Message(200, "Look into your mail", SENT, "Log in", "/login"))


async def reset_page(request: web.Request, visit: Visit) -> web.StreamResponse:
    """``/reset?token=…``."""
    return _form(request, visit, replace(RESET, token=_token(request.query.get("token", ""))))


async def reset(request: web.Request, visit: Visit) -> web.StreamResponse:
    """Set the password and log in."""
    sent = await _sent(request)
    form, services = replace(RESET, token=_token(sent["token"])), request.app[SERVICES]
    waiting = _throttled(request, visit, form, sent | {"email": ""})
    if waiting is not None:
        return waiting
    try:
        user = await services.registration.reset(form.token, sent["password"])
    except AccountError as error:
        return _refused(request, visit, form, sent, error)
    return await enter(request, visit, await request.app[SESSIONS].open(user, caller(request)), "/")


async def invite_page(request: web.Request, visit: Visit) -> web.StreamResponse:
    """``/invite?token=…``."""
    return _form(request, visit, replace(INVITE, token=_token(request.query.get("token", ""))))


async def accept(request: web.Request, visit: Visit) -> web.StreamResponse:
    """Join and log in."""
    sent = await _sent(request)
    form, services = replace(INVITE, token=_token(sent["token"])), request.app[SERVICES]
    if not is_name(sent["name"], 100):
        return _form(request, visit, form, sent, f"Say your name, {AS_NAMES}.")
    waiting = _throttled(request, visit, form, sent | {"email": ""})
    if waiting is not None:
        return waiting
    try:
        user = await services.team.accept(form.token, sent["name"], sent["password"])
    except AccountError as error:
        return _refused(request, visit, form, sent, error)
    return await enter(request, visit, await request.app[SESSIONS].open(user, caller(request)), "/")


async def _sent(request: web.Request) -> dict[str, str]:
    form = await request.post()
    names = ("organisation", "name", "email", "password", "token")
    found = {name: form.get(name) for name in names}
    return {
        name: (value if name == "password" else value.strip()) if isinstance(value, str) else ""
        for name, value in found.items()
    }


def _token(text: str) -> str:
    """A token as it may be one of ours; anything else is none."""
    return text if 16 <= len(text) <= 128 and text.isascii() and text.isprintable() else ""


def _throttled(request: web.Request, visit: Visit, form: EntranceForm, sent: dict[str, str]) -> web.Response | None:
    """Counted per address typed and per address of the network: nobody is flooded with messages, no link guessed."""
    throttle, now_us = request.app[THROTTLE], request.app[SERVICES].clock.now()
    if sent["email"]:
        typed = hashlib.sha256(f"{form.action} {sent['email'].lower()}".encode("utf-8", "replace")).hexdigest()
        wait_us = throttle.admit(typed, caller(request), now_us)
    else:  # forms that a link leads to: each costs a hash of the password
        wait_us = throttle.admit_address(caller(request), now_us)
    if not wait_us:
        return None
    seconds = -(-wait_us // SECOND_US)
    response = _form(request, visit, form, sent, f"Too many tries. Wait {seconds} s and try again.", 429)
    response.headers["Retry-After"] = str(seconds)
    return response


def _form(
    request: web.Request,
    visit: Visit,
    form: EntranceForm,
    sent: dict[str, str] | None = None,
    error: str = "",
    status: int = 400,
) -> web.Response:
    """The form with what was typed, never the password."""
    typed = sent or {}
    fields = tuple(
        replace(field, value=typed.get(field.name, "")[:254] if field.type != "password" else "")
        for field in form.fields
    )
    page = replace(form, fields=fields, error=error)
    return render(request, visit, "entrance.html", page, form.heading, status=status if error else 200)


def _refused(
    request: web.Request, visit: Visit, form: EntranceForm, sent: dict[str, str], error: AccountError
) -> web.Response:
    if error.code == "link_expired":
        return _over(request, visit, error)
    return _form(request, visit, form, sent, str(error))


def _over(request: web.Request, visit: Visit, error: AccountError) -> web.Response:
    return message(request, visit, Message(410, "This link no longer works", str(error), "Log in", "/login"))
