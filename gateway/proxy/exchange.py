"""One call, from head to last byte. ``run`` is the order of SEMANTICS §2–§6 and reads top to bottom."""

from typing import TYPE_CHECKING

from gateway.hooks.events import Admit, Authenticate, Refusal
from gateway.http.body import Framing
from gateway.http.chunked import chunk, last_chunk
from gateway.http.errors import MessageError
from gateway.http.forwarding import trailer_section
from gateway.http.problem import problem, problem_response
from gateway.http.request import Request
from gateway.http.response import Response
from gateway.metering.record import CallRecord, Flag, Outcome
from gateway.proxy.answer import client_framing, interim_head, response_head
from gateway.proxy.books import Books
from gateway.proxy.failures import (
    BODY_TIMEOUT,
    CLIENT_LEFT,
    INTERNAL,
    TRUNCATED,
    UPSTREAM_FAILED,
    UPSTREAM_MALFORMED,
    UPSTREAM_TIMEOUT,
    CallFailed,
    Failure,
)
from gateway.proxy.measuring import Measuring
from gateway.proxy.outgoing import request_head
from gateway.proxy.plan import Bound, Match, RoutePlan
from gateway.proxy.request_body import RequestBody
from gateway.proxy.upstream import UpstreamConnection
from gateway.tenants.model import Principal

if TYPE_CHECKING:
    from gateway.proxy.connection import ClientConnection

NOT_FOUND = Refusal(404, "no_route", "No route matches this request.")
IDEMPOTENT = frozenset((b"GET", b"HEAD", b"PUT", b"DELETE", b"OPTIONS", b"TRACE"))


class Exchange:
    """The state of one call. The connection's callbacks come in through the methods of the last section."""

    __slots__ = (
        "_attempts", "_books", "_bound", "_client_eof", "_connection", "_drained", "_framing", "_head_sent", "_match",
        "_measuring", "_plan", "_principal", "_request_id", "_response_bytes", "_server", "_started", "_ttfb",
        "address", "body", "call_id", "forwarding", "gone", "keep_alive", "record", "request", "tunnel_in", "upstream",
    )  # fmt: skip

    def __init__(self, connection: "ClientConnection", request: Request, body: RequestBody) -> None:
        server = self._server = connection.server
        self._connection = connection
        self.request = request
        self.body = body
        self.upstream: UpstreamConnection | None = None
        self.keep_alive = request.keep_alive
        self.forwarding = False
        self.gone = False
        self.tunnel_in = 0
        self._client_eof = False
        self._started = server.loop.time()
        self._ttfb = 0.0
        self._attempts = 0
        self._drained = 0
        self._response_bytes = 0
        self._head_sent = False
        self._framing = Framing.NONE
        self._principal: Principal | None = None
        self._bound: Bound | None = None
        self._measuring: Measuring | None = None
        self._match: Match[RoutePlan]
        self._plan: RoutePlan | None = None
        self.record: CallRecord
        self._books: Books
        self.call_id = server.ids.new(server.clock.now())
        given = request.fields.all(b"x-request-id")
        well_formed = len(given) == 1 and server.request_id_ok(given[0])
        self._request_id = given[0] if well_formed else self.call_id.hex().encode()

    async def run(self) -> None:
        """The whole call. Nothing is sent to the client after the last byte but by the next call."""
        self._connection.deadline = float("inf")
        refusal = self._find_route() or self._authenticate() or await self._admit()
        if refusal is not None:
            self._refuse(refusal)
            return
        try:
            response = await self._forward()
            self._connection.deadline = self._server.loop.time() + self.plan.read_timeout
            if response.status == 101:
                await self._tunnel(response)
            else:
                await self._answer(response)
        except CallFailed as error:
            await self._failed(error.failure)
        except OSError:
            self._server.logger.exception("a call was not recorded", extra={"call": self.call_id.hex()})
            self._connection.abort(reset=True)
        except Exception:
            self._server.logger.exception("a call failed", extra={"call": self.call_id.hex()})
            await self._failed(INTERNAL)
        finally:
            self._let_go()

    # ── before the upstream ──────────────────────────────────────────────────────────────────────────────────────

    @property
    def plan(self) -> RoutePlan:
        assert self._plan is not None
        return self._plan

    def _find_route(self) -> Refusal | None:
        request = self.request
        match = self._server.plan.match(request.fields.hostname, request.method, request.path)
        if match is None:
            return NOT_FOUND
        self._match = match
        self._plan = match.value
        return None

    def _authenticate(self) -> Refusal | None:
        plan = self.plan
        if not plan.authenticate:
            return None
        event = Authenticate(self.request, plan.route)
        for stage in plan.authenticate:
            answer = stage(event)
            if isinstance(answer, Principal):
                self._principal = answer
                self._bound = self._server.plan.bound(answer, plan)
                return None
            if answer is not None:
                self._principal = answer.principal
                return answer  # type: ignore[no-any-return]
        return None

    async def _admit(self) -> Refusal | None:
        plan, request, server = self.plan, self.request, self._server
        self.address = server.plan.caller(self._connection.peer, request)
        for stage in plan.admit:
            refusal = stage(Admit(request, plan.route, self._principal, self.address))
            if refusal is not None:
                return refusal  # type: ignore[no-any-return]
        if not self.body.limit_to(plan.max_body):
            return Refusal(413, "body_too_large", "The request body is too large.")
        if request.framing is Framing.CHUNKED and not self.body.complete and not request.fields.expects_continue:
            try:
                await self.body.beginning(server.loop, server.settings.hold, server.settings.hold_bytes)
            except MessageError as error:
                return Refusal(error.status, error.code, error.detail)
        self.record = self._new_record()
        self._books = Books(server.services, plan, self._bound, self.record)
        return await self._books.admit(self.address, server.plan.serves_unmetered)

    def _new_record(self) -> CallRecord:
        """The record as it stands if the worker dies now: interrupted, with the units that were reserved."""
        plan, bound, request = self.plan, self._bound, self.request
        return CallRecord(
            id=self.call_id,
            at_us=0,
            tenant=bound.principal.tenant.id if bound else "",
            key=bound.principal.key.id if bound else "",
            plan=bound.plan if bound else "",
            route=plan.name,
            upstream=plan.upstream_name,
            method=request.method.decode("latin-1"),
            path=request.path.decode("latin-1"),
            units=plan.amounts,
            address=self._server.plan.shown_address(self.address),
            request_id=self._request_id.decode() if len(self._request_id) != 32 else "",
        )

    def _refuse(self, refusal: Refusal) -> None:
        """The call ends before the upstream: no record, only a count."""
        server, connection = self._server, self._connection
        principal = self._principal
        server.metrics.refused(refusal.code)
        server.refusals.count(
            principal.tenant.id if principal else "", principal.key.id if principal else "",
            self._plan.name if self._plan else "", refusal.code, refusal.status,
        )  # fmt: skip
        self._write_problem(refusal, self._limits_of_refusal())
        if connection.write_paused and not self.keep_alive:
            connection.deadline = server.loop.time() + server.settings.write_timeout

    def _limits_of_refusal(self) -> bytes:
        books: Books | None = getattr(self, "_books", None)
        return books.limit_lines(self._server.plan.style) if books is not None else b""

    def _write_problem(self, refusal: Refusal, limits: bytes = b"") -> None:
        if not self.body.complete:
            self.keep_alive = False
        request_id = self._request_id
        body = problem(
            refusal.status, refusal.code, refusal.detail, request_id.decode(), kind=refusal.kind,
            members=refusal.members,
        )  # fmt: skip
        headers = [(b"X-Request-Id", request_id), *refusal.headers]
        keep_alive = self.keep_alive and bool(self.request.minor_version) and not self._server.draining
        self.keep_alive = keep_alive
        self._connection.write(
            problem_response(
                refusal.status, body, headers, limits, head_only=self.request.method == b"HEAD", close=not keep_alive
            )
        )

    # ── the upstream ─────────────────────────────────────────────────────────────────────────────────────────────

    async def _forward(self) -> Response:
        """Send the request; the answer's head. A request that a kept connection lost is sent once more if it may be."""
        while True:
            upstream = await self._connect()
            kept = upstream.used > 0
            self._attempts += 1
            try:
                return await self._attempt(upstream)
            except CallFailed as error:
                upstream.release(reusable=False)
                self.upstream = None
                self.body.detach()
                again = (
                    kept
                    and error.retriable
                    and error.failure is UPSTREAM_FAILED
                    and self._attempts == 1
                    and not self.gone
                    and self.request.method in IDEMPOTENT
                    and self.body.complete
                    and self.body.replayable
                )
                if not again:
                    raise

    async def _connect(self) -> UpstreamConnection:
        plan = self.plan
        pool = plan.next_pool()
        self.record.target = pool.url
        upstream = None
        if self._attempts == 0:
            upstream = pool.take(idempotent=self.request.method in IDEMPOTENT)
        if upstream is None:
            upstream = await pool.connect(plan.connect_timeout)
            if self.gone:
                upstream.release(reusable=False)
                raise CallFailed(CLIENT_LEFT)
        return upstream

    async def _attempt(self, upstream: UpstreamConnection) -> Response:
        plan, connection = self.plan, self._connection
        head = request_head(
            self.request, plan, self._match.prefix, upstream.pool, self._bound, connection.peer, self._request_id,
            self._server.plan.trusts(connection.peer),
        )  # fmt: skip
        self._books.sent()
        upstream.begin(self, self.request.method)
        self.upstream = upstream
        self.forwarding = True
        held = self.body.attach(upstream)
        upstream.transport.write(head + held if held else head)
        if not self.body.complete:
            connection.resume_reading()
        connection.deadline = self._server.loop.time() + plan.read_timeout
        await upstream.head()
        self._ttfb = self._server.loop.time() - self._started
        assert upstream.response is not None
        if upstream.response.status == 101 and self.request.fields.upgrade is None:
            raise CallFailed(UPSTREAM_MALFORMED)
        return upstream.response

    # ── the answer ───────────────────────────────────────────────────────────────────────────────────────────────

    async def _answer(self, response: Response) -> None:
        """Relay the answer; its last piece waits until the call is in the books (SEMANTICS §4)."""
        upstream, connection, plan = self.upstream, self._connection, self.plan
        assert upstream is not None
        self._framing = client_framing(self.request, response)
        self._measuring = Measuring(plan, response) if plan.measure else None
        if self._framing is Framing.CLOSE or not self.body.complete or self._server.draining or self._client_eof:
            self.keep_alive = False
        head = response_head(
            self.request, response, plan, self._bound, self._framing, self._request_id,
            self._books.limit_lines(self._server.plan.style), self.keep_alive,
        )  # fmt: skip
        if not upstream.complete:
            connection.write(head)
            head = b""
            self._head_sent = True
            for piece in upstream.start_relay():
                self.relay(piece)
            if connection.write_paused:
                self.client_slow(True)
            await upstream.body()
        pieces = [*upstream.start_relay(), upstream.final] if upstream.pending else [upstream.final]
        last = b"".join([head, *[self._framed(piece) for piece in pieces if piece]])
        if self._framing is Framing.CHUNKED:
            last += last_chunk(trailer_section(upstream.trailers))
        await self._book("client_left" if self.gone else "ok", response.status)
        connection.write(last)
        self._books.close()

    async def _tunnel(self, response: Response) -> None:
        """After 101 the two connections are one pipe of bytes, with back-pressure, until either side ends it."""
        upstream, connection = self.upstream, self._connection
        assert upstream is not None
        self.keep_alive = False
        head = response_head(
            self.request, response, self.plan, self._bound, Framing.NONE, self._request_id, b"", keep_alive=False
        )
        connection.write(head)
        self._head_sent = True
        connection.deadline = float("inf")
        connection.tunnel = True
        self.relay(upstream.start_tunnel())
        self.from_client(connection.take_buffer())
        connection.resume_reading()
        try:
            await upstream.body()
        except CallFailed:
            self.gone = True
        await self._book("ok", 101)
        connection.transport.close()
        self._books.close()

    def _framed(self, piece: bytes) -> bytes:
        """A piece on its way to the client, counted and measured."""
        if not self.gone:
            self._response_bytes += len(piece)
        if self._measuring is not None:
            self._measuring.feed(piece)
        return chunk(piece) if self._framing is Framing.CHUNKED else piece

    async def _book(self, outcome: Outcome, status: int, not_billable: str = "") -> None:
        """Complete the record, append and settle."""
        plan, record, response = self.plan, self.record, self.upstream.response if self.upstream else None
        duration_us = int((self._server.loop.time() - self._started) * 1e6)
        if self._measuring is None:
            units, flags = plan.amounts, int(Flag.ESTIMATED) if plan.measures else 0
        else:
            units, flags = self._measuring.units(
                self.request, self.body.size + self.tunnel_in, self._response_bytes, duration_us
            )
            if plan.learns and not flags:
                plan.learn(units)
        if not not_billable and status not in plan.billable:
            not_billable = "status"
        record.status = status
        record.upstream_status = response.status if response is not None else 0
        record.outcome = outcome
        record.request_bytes = self.body.size + self.tunnel_in
        record.response_bytes = self._response_bytes
        record.units = units
        record.flags |= flags
        record.billable = not not_billable
        record.not_billable = not_billable
        record.ttfb_us = int(self._ttfb * 1e6)
        record.duration_us = duration_us
        record.attempts = self._attempts
        await self._books.finish(units, counted=record.billable)
        plan.metrics.observe(status, duration_us)

    async def _failed(self, failure: Failure) -> None:
        """The call ended before its answer did: record it, and tell a client that has seen nothing yet."""
        server, connection = self._server, self._connection
        if not failure.status == CLIENT_LEFT.status:
            server.metrics.upstream_failed(failure.code)
        response = self.upstream.response if self.upstream is not None else None
        status = response.status if response is not None and self._head_sent else failure.status
        # What a client saw before it left is billed; so is work whose units were still to come (SEMANTICS §12).
        billable = failure is CLIENT_LEFT and (self._head_sent or (self.plan.drain > 0 and self._attempts > 0))
        try:
            if self._books.open and not self._books.finished:
                await self._book(failure.outcome, status, "" if billable else failure.code)
        except OSError:
            server.logger.exception("a call was not recorded", extra={"call": self.call_id.hex()})
            connection.abort(reset=True)
            return
        self.keep_alive = self.keep_alive and self.body.complete
        if self._head_sent or self.gone:
            self.keep_alive = False
            connection.abort(reset=self._framing is Framing.CLOSE)
        else:
            self._write_problem(Refusal(failure.status, failure.code, failure.detail))
        self._books.close()

    def _let_go(self) -> None:
        """The upstream connection goes back, or away."""
        upstream, self.upstream = self.upstream, None
        self.forwarding = False
        self.body.detach()
        if upstream is not None:
            response = upstream.response
            upstream.release(reusable=response is not None and response.keep_alive and self.body.complete)

    # ── callbacks of the upstream connection ─────────────────────────────────────────────────────────────────────

    def interim(self, response: Response) -> None:
        if self.request.minor_version and not self._head_sent:
            self._connection.write(interim_head(response))

    def relay(self, data: bytes) -> None:
        if not self.gone:
            if data:
                self._connection.write(self._framed(data))
            return
        if self._measuring is not None:
            self._measuring.feed(data)
        self._drained += len(data)
        if self._drained > self._server.settings.drain_bytes and self.upstream is not None:
            self.upstream.fail(CLIENT_LEFT)

    def progress(self) -> None:
        if not self.gone and not self._connection.tunnel and not self._connection.write_paused:
            self._connection.deadline = self._server.loop.time() + self.plan.read_timeout

    def upstream_slow(self, slow: bool) -> None:
        if slow:
            self._connection.pause_reading()
        else:
            self._connection.resume_reading()

    # ── callbacks of the client connection ───────────────────────────────────────────────────────────────────────

    def from_client(self, data: bytes) -> None:
        """Bytes in a tunnel."""
        self.tunnel_in += len(data)
        if data and self.upstream is not None:
            self.upstream.transport.write(data)

    def body_progress(self) -> None:
        settings = self._server.settings
        self._connection.deadline = self._server.loop.time() + max(settings.body_timeout, self.plan.read_timeout)

    def body_broken(self, error: MessageError) -> None:
        self.keep_alive = False
        if self.upstream is not None:
            self.upstream.fail(Failure(error.status, error.code, error.detail, "client_left"))

    def client_slow(self, slow: bool) -> None:
        if self.upstream is not None:
            self.upstream.pause() if slow else self.upstream.resume()
            limit = self._server.settings.write_timeout if slow else self.plan.read_timeout
            self._connection.deadline = self._server.loop.time() + limit

    def client_finished(self) -> None:
        """The client sends no more. With its request complete it has a moment to take the answer."""
        self._client_eof = True
        self.keep_alive = False
        if self._connection.tunnel:
            if self.upstream is not None and self.upstream.transport.can_write_eof():
                self.upstream.transport.write_eof()
        elif not self.body.complete:
            self._connection.transport.abort()
        else:
            self._server.loop.call_later(self._server.settings.half_close_grace, self._grace_over)

    def _grace_over(self) -> None:
        if self._connection.exchange is self:
            self._connection.transport.abort()

    def client_left(self) -> None:
        """The client is gone: free the upstream, unless the answer is read on for its units (SEMANTICS §12)."""
        self.gone = True
        self.keep_alive = False
        self.body.fail(MessageError("the client went away"))
        upstream = self.upstream
        if upstream is None:
            return
        if self._plan is not None and self._plan.drain and self.body.complete and not self._connection.tunnel:
            upstream.resume()
            self._server.watch(self, self._server.loop.time() + self._plan.drain)
        else:
            upstream.fail(CLIENT_LEFT)

    def timed_out(self) -> None:
        """The connection's deadline is over: whoever was waited for is too slow."""
        upstream, connection = self.upstream, self._connection
        if upstream is None:
            self.body.fail(MessageError("the request body did not arrive in time", 408, "request_timeout"))
        elif self.gone or connection.write_paused:
            upstream.fail(CLIENT_LEFT)
            connection.transport.abort()
        elif upstream.response is not None:
            upstream.fail(TRUNCATED)
        else:
            upstream.fail(UPSTREAM_TIMEOUT if self.body.complete or connection.reading_paused else BODY_TIMEOUT)
