"""``/portal/try``: one real call through the gateway, made for a person with the key that they paste.

The key passes through and is kept nowhere: not in the page that answers, not in a log, not in the session.
"""

import contextlib
import json
import re
from collections.abc import Mapping

from aiohttp import web

from gateway.clock import SECOND_US
from gateway.config.snapshot import Snapshot
from gateway.tenants.model import Tenant
from gateway.ui.contexts import TryForm, TryView
from gateway.ui.finding import own_tenant
from gateway.ui.guard import Visit
from gateway.ui.keys import SERVICES, TRIES
from gateway.ui.rendering import render
from gateway.ui.services import TryAnswer, TryCall, TryFailed

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
BODY_TYPES = ("application/json", "application/x-www-form-urlencoded", "text/plain")
MAX_BODY = 32 * 1024
_TARGET = re.compile(r"/[\x21\x22\x24-\x7e]{0,2047}")
_KEY = re.compile(r"[\x21-\x7e]{16,256}")


async def try_page(request: web.Request, visit: Visit) -> web.StreamResponse:
    """The empty form, with a path of the first route."""
    tenant = await own_tenant(request, visit)
    return _page(request, visit, tenant, _first(request.app[SERVICES].snapshot()))


async def try_call(request: web.Request, visit: Visit) -> web.StreamResponse:
    """Make the call and show what came back."""
    tenant, sent = await own_tenant(request, visit), await request.post()
    form = _form({name: value for name, value in sent.items() if isinstance(value, str)})
    key = str(sent.get("key", "")).strip()
    error = _fault(request, form, key)
    if error:
        return _page(request, visit, tenant, form, error=error, status=400)
    services = request.app[SERVICES]
    assert services.try_call is not None, "the page is offered with the port only"
    wait_us = request.app[TRIES].wait_us(visit.user.id, services.clock.now())
    if wait_us:
        seconds = -(-wait_us // SECOND_US)
        return _page(request, visit, tenant, form, error=f"Many tries at once: wait {seconds} s.", status=429)
    request.app[TRIES].failed(visit.user.id, services.clock.now())
    call = TryCall(form.method, form.path, form.host, key, form.body_type if form.body else "", form.body.encode())
    try:
        answer = await services.try_call(call)
    except TryFailed as failure:
        return _page(request, visit, tenant, form, error=str(failure), status=502)
    return _page(request, visit, tenant, form, answer=answer)


def _form(sent: Mapping[str, str]) -> TryForm:
    return TryForm(
        sent.get("method", "GET"),
        sent.get("path", "").strip(),
        sent.get("host", ""),
        sent.get("body_type", BODY_TYPES[0]),
        sent.get("body", ""),
    )


def _fault(request: web.Request, form: TryForm, key: str) -> str:
    """What is wrong with the form in words, or nothing."""
    if form.method not in METHODS or form.body_type not in BODY_TYPES:
        return "That method or content type is not offered here."
    if form.host and form.host not in _hosts(request.app[SERVICES].snapshot()):
        return "That host is not one of the gateway's routes."
    if not _TARGET.fullmatch(form.path):
        return "The path starts with / and has no spaces; write %20 for one."
    if key and not _KEY.fullmatch(key):
        return "A key is 16 to 256 characters without spaces."
    if len(form.body.encode("utf-8", "replace")) > MAX_BODY:
        return "The body is too large to be tried here; use curl."
    return ""


def _first(snapshot: Snapshot) -> TryForm:
    """A call that the first plain route takes."""
    for route in snapshot.routes:
        for path in route.paths:
            plain = path.removeprefix("=")
            if "{" not in plain:
                method = "GET" if not route.methods or "GET" in route.methods else sorted(route.methods)[0]
                host = min((name for name in route.hosts if "*" not in name), default="")
                return TryForm(method, plain, host, BODY_TYPES[0], "")
    return TryForm("GET", "/", "", BODY_TYPES[0], "")


def _hosts(snapshot: Snapshot) -> tuple[str, ...]:
    return tuple(sorted({host for route in snapshot.routes for host in route.hosts if "*" not in host}))


def _page(
    request: web.Request,
    visit: Visit,
    tenant: Tenant,
    form: TryForm,
    *,
    answer: TryAnswer | None = None,
    error: str = "",
    status: int = 200,
) -> web.Response:
    snapshot = request.app[SERVICES].snapshot()
    paths = tuple(sorted({path.removeprefix("=") for route in snapshot.routes for path in route.paths}))
    text, binary = _readable(answer) if answer else ("", False)
    page = TryView(form, METHODS, BODY_TYPES, _hosts(snapshot), paths, answer, text, binary, error)
    return render(request, visit, "portal/try.html", page, "Try a call", tenant=tenant, status=status)


def _readable(answer: TryAnswer) -> tuple[str, bool]:
    """The body as text (JSON indented), and whether it is no text at all."""
    try:
        text = answer.body.decode("utf-8", "strict" if not answer.cut else "ignore")
    except UnicodeDecodeError:
        return "", True
    if "\x00" in text:
        return "", True
    kind = next((value for name, value in answer.headers if name.lower() == "content-type"), "")
    if "json" in kind and not answer.cut:
        with contextlib.suppress(ValueError, RecursionError):
            text = json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    return text, False
