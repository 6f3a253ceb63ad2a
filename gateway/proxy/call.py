"""One call's state, and what its two connections tell it while it runs: bytes, back-pressure, departures, deadlines."""

import time
from binascii import hexlify
from typing import TYPE_CHECKING, Final

from gateway.http.body import Framing
from gateway.http.chunked import chunk
from gateway.http.errors import MessageError
from gateway.http.request import Request
from gateway.http.response import Response
from gateway.metering.record import CallRecord
from gateway.proxy.answer import interim_head
from gateway.proxy.balancer import Member
from gateway.proxy.books import Books
from gateway.proxy.failures import BODY_TIMEOUT, CLIENT_LEFT, TRUNCATED, UPSTREAM_TIMEOUT, Failure
from gateway.proxy.measuring import Measuring
from gateway.proxy.parts import Parts
from gateway.proxy.plan import Bound, Match, RoutePlan
from gateway.proxy.request_body import RequestBody
from gateway.proxy.upstream import UpstreamConnection
from gateway.tenants.model import Principal

if TYPE_CHECKING:
    from gateway.proxy.connection import ClientConnection

_monotonic: Final = time.monotonic
_hexlify: Final = hexlify


class Call:
    """State and callbacks; ``Exchange`` adds the order in which a call runs."""

    __slots__ = (
        "_drained",
        "_framing",
        "_match",
        "address",
        "attempts",
        "begun",
        "body",
        "books",
        "bound",
        "call_id",
        "client_eof",
        "connection",
        "forwarding",
        "given_request_id",
        "gone",
        "head_sent",
        "keep_alive",
        "measuring",
        "member",
        "parts",
        "plan",
        "principal",
        "record",
        "request",
        "request_id",
        "response_bytes",
        "server",
        "started",
        "term",
        "ttfb",
        "tunnel_in",
        "upstream",
    )  # fmt: skip

    def __init__(self, connection: "ClientConnection", request: Request, body: RequestBody) -> None:
        server = self.server = connection.server
        self.connection = connection
        self.request = request
        self.body = body
        self.upstream: UpstreamConnection | None = None
        self.keep_alive = request.keep_alive
        self.forwarding = False
        self.gone = False
        self.tunnel_in = 0
        self.client_eof = False
        self.started = _monotonic()
        self.ttfb = 0.0
        self.attempts = 0
        self.begun = False  # an upstream may have seen it
        self._drained = 0
        self.response_bytes = 0
        self.head_sent = False
        self._framing = Framing.NONE
        self.address = ""
        self.principal: Principal | None = None
        self.bound: Bound | None = None
        self.measuring: Measuring | None = None
        self.member: Member | None = None
        self.term = 0
        self.parts: Parts | None = None
        self._match: Match[RoutePlan]
        self.plan: RoutePlan
        self.record: CallRecord
        self.books: Books | None = None
        self.call_id = server.ids.new(server.clock.now())
        given = request.fields.all(b"x-request-id")
        if len(given) == 1 and server.request_id_ok(given[0]):
            self.request_id = given[0]
            self.given_request_id = given[0].decode()
        else:
            self.request_id = _hexlify(self.call_id)
            self.given_request_id = ""

    @property
    def route_name(self) -> str:
        return self.plan.name if hasattr(self, "plan") else ""

    @property
    def passed(self) -> int:
        """Bytes of content so far, both ways."""
        return self.body.size + self.tunnel_in + self.response_bytes

    @property
    def opened(self) -> Books:
        """The books of a call that was admitted."""
        assert self.books is not None
        return self.books

    # ── callbacks of the upstream connection ─────────────────────────────────────────────────────────────────────

    def interim(self, response: Response) -> None:
        if self.request.minor_version and not self.head_sent:
            self.connection.write(interim_head(response))

    def relay(self, data: bytes) -> None:
        if not self.gone:
            if data:
                self.connection.write(self._framed(data))
            return
        if self.measuring is not None:
            self.measuring.feed(data)
        self._drained += len(data)
        if self._drained > self.server.settings.drain_bytes and self.upstream is not None:
            self.upstream.fail(CLIENT_LEFT)

    def _framed(self, piece: bytes) -> bytes:
        """A piece on its way to the client, counted and measured."""
        if not self.gone:
            self.response_bytes += len(piece)
        if self.measuring is not None:
            self.measuring.feed(piece)
        return chunk(piece) if self._framing is Framing.CHUNKED else piece

    def progress(self) -> None:
        if not self.gone and not self.connection.write_paused:
            self.connection.deadline = self.server.loop.time() + self.patience

    @property
    def patience(self) -> float:
        """How long the upstream, or both ends of a tunnel, may be silent."""
        if not self.connection.tunnel:
            return self.plan.read_timeout
        idle = self.plan.tunnel_idle
        return min(idle, self.server.settings.half_open) if self.client_eof else idle

    def upstream_slow(self, slow: bool) -> None:
        if slow:
            self.connection.pause_reading()
        else:
            self.connection.resume_reading()

    # ── callbacks of the client connection ───────────────────────────────────────────────────────────────────────

    def from_client(self, data: bytes) -> None:
        """Bytes in a tunnel."""
        self.tunnel_in += len(data)
        if data and self.upstream is not None:
            self.upstream.transport.write(data)
            self.progress()

    def body_progress(self) -> None:
        settings = self.server.settings
        self.connection.deadline = self.server.loop.time() + max(settings.body_timeout, self.plan.read_timeout)

    def body_broken(self, error: MessageError) -> None:
        self.keep_alive = False
        if self.upstream is not None:
            self.upstream.fail(Failure(error.status, error.code, error.detail, "client_left"))

    def client_slow(self, slow: bool) -> None:
        if self.upstream is not None:
            self.upstream.pause() if slow else self.upstream.resume()
            limit = self.server.settings.write_timeout if slow else self.patience
            self.connection.deadline = self.server.loop.time() + limit

    def client_finished(self) -> None:
        """The client sends no more. With its request complete it has a moment to take the answer."""
        self.client_eof = True
        self.keep_alive = False
        if self.connection.tunnel:
            if self.upstream is not None and self.upstream.transport.can_write_eof():
                self.upstream.transport.write_eof()
                self.progress()
            elif self.upstream is not None:  # TLS has no half-closed state
                self.upstream.fail(CLIENT_LEFT)
        elif not self.body.complete:
            self.connection.transport.abort()
        else:
            self.server.loop.call_later(self.server.settings.half_close_grace, self._grace_over)

    def _grace_over(self) -> None:
        if self.connection.exchange is self:
            self.connection.transport.abort()

    def client_left(self, *, aborted: bool) -> None:
        """The client is gone: free the upstream, unless the answer is read on for its units (SEMANTICS §12)."""
        self.gone = True
        self.keep_alive = False
        self.body.fail(MessageError("the client went away"))
        upstream = self.upstream
        if upstream is None:
            return
        if aborted and self.connection.tunnel:
            upstream.destroy(reset=True)
        if self.plan.drain and self.body.complete and not self.connection.tunnel:
            upstream.resume()
            self.server.watch(self, self.server.loop.time() + self.plan.drain)
        else:
            upstream.fail(CLIENT_LEFT)

    def timed_out(self) -> None:
        """The connection's deadline is over: whoever was waited for is too slow."""
        upstream, connection = self.upstream, self.connection
        if upstream is None:
            self.body.fail(MessageError("the request body did not arrive in time", 408, "request_timeout"))
        elif self.gone or connection.write_paused:
            upstream.fail(CLIENT_LEFT)
            connection.transport.abort()
        elif upstream.still_takes():
            connection.deadline = self.server.loop.time() + self.patience
        elif upstream.response is not None:
            upstream.fail(TRUNCATED)
        else:
            upstream.fail(UPSTREAM_TIMEOUT if self.body.complete or connection.reading_paused else BODY_TIMEOUT)
