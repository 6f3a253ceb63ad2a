"""Browsers of other origins (Fetch standard, CORS protocol): the preflight is answered here, before any key, unmetered;
answers, ours too, say which origin may read them. The upstream's own ``Access-Control-*`` fields are replaced.
"""

import re
from typing import TYPE_CHECKING

from gateway.hooks.events import Refusal
from gateway.http.date import date_line
from gateway.http.fields import TOKEN
from gateway.http.request import Request
from gateway.proxy.refusing import write_problem
from gateway.routing.route import Cors

if TYPE_CHECKING:
    from gateway.proxy.exchange import Exchange

ANSWER_FIELDS = frozenset(
    b"access-control-allow-origin access-control-allow-credentials access-control-expose-headers".split()
)
EXPOSED = ("X-Request-Id", "RateLimit", "RateLimit-Policy", "Retry-After")
DENIED = Refusal(403, "origin_denied", "This route takes no calls from that origin.")
_NAMES = re.compile(rb"[ \t]*" + TOKEN + rb"([ \t]*,[ \t]*" + TOKEN + rb")*[ \t]*").fullmatch
_ORIGIN = re.compile(rb"[a-z][a-z0-9+.-]*://[A-Za-z0-9._\[\]:-]+|null").fullmatch


class CorsPolicy:
    """One route's, compiled."""

    def __init__(self, cors: Cors) -> None:
        self._any = "*" in cors.origins and not cors.credentials
        self._exact = frozenset(origin.encode() for origin in cors.origins if "*" not in origin)
        wild = [origin.partition("*.") for origin in cors.origins if "*." in origin]
        self._wild = tuple((scheme.encode(), b"." + domain.encode()) for scheme, _, domain in wild)
        self._headers = ", ".join(cors.headers).encode() if cors.headers is not None else None
        self._methods = frozenset(method.encode() for method in cors.methods)
        allowed = b", ".join(method.encode() for method in cors.methods)
        credentials = b"Access-Control-Allow-Credentials: true\r\n" if cors.credentials else b""
        expose = ", ".join(dict.fromkeys((*cors.expose, *EXPOSED))).encode()
        self._answer = credentials + b"Access-Control-Expose-Headers: %b\r\n" % expose
        self._preflight = credentials + b"Access-Control-Allow-Methods: %b\r\nAccess-Control-Max-Age: %d\r\n" % (
            allowed,
            cors.max_age_us // 1_000_000,
        )

    def allows(self, origin: bytes) -> bool:
        """Whether calls from an origin, as sent, are taken."""
        if _ORIGIN(origin) is None:
            return False
        if self._any or origin in self._exact:
            return True
        return any(origin.startswith(scheme) and origin.endswith(domain) for scheme, domain in self._wild)

    def lines(self, request: Request) -> bytes:
        """The field lines of an answer. What depends on the origin says so, for caches."""
        origin = request.header(b"origin")
        if self._any:
            return b"" if origin is None else b"Access-Control-Allow-Origin: *\r\n" + self._answer
        if origin is None or not self.allows(origin):
            return b"Vary: Origin\r\n"
        return b"Vary: Origin\r\nAccess-Control-Allow-Origin: %b\r\n%b" % (origin, self._answer)

    def preflight(self, origin: bytes, method: bytes, headers: bytes | None) -> bytes | None:
        """The field lines of a preflight's answer; None when the call would not be taken."""
        if not self.allows(origin) or method not in self._methods or (headers and not _NAMES(headers)):
            return None
        allowed = headers if self._headers is None else self._headers
        return b"Access-Control-Allow-Origin: %b\r\n%b%bVary: Origin, Access-Control-Request-%b\r\n" % (
            b"*" if self._any else origin,
            self._preflight,
            b"Access-Control-Allow-Headers: %b\r\n" % allowed.strip(b" \t") if allowed else b"",
            b"Method, Access-Control-Request-Headers",
        )


def answer_preflight(exchange: "Exchange") -> bool:
    """Answer an OPTIONS request if it is a preflight of a route with CORS; False: it is a call like any other."""
    request, plan = exchange.request, exchange.server.plan
    origin, method = request.header(b"origin"), request.header(b"access-control-request-method")
    if not plan.has_cors or origin is None or method is None:
        return False
    match = plan.match(request.fields.hostname, method, request.path)
    if match is None or match.value.cors is None:
        return False
    exchange.plan = match.value
    lines = match.value.cors.preflight(origin, method, request.header(b"access-control-request-headers"))
    if lines is None:
        exchange.server.metrics.refused(DENIED.code)
        write_problem(exchange, DENIED)
        return True
    exchange.keep_alive = keep = exchange.keep_alive and exchange.body.complete and not exchange.server.draining
    connection = (
        b"" if keep and request.minor_version else b"Connection: %b\r\n" % (b"keep-alive" if keep else b"close")
    )
    exchange.connection.write(
        b"HTTP/1.1 204 No Content\r\n%b%bX-Request-Id: %b\r\n%b\r\n"
        % (date_line(exchange.server.clock.now()), lines, exchange.request_id, connection)
    )
    return True
