"""One call, from head to last byte: ``run`` is the order of SEMANTICS §2–§6. State and callbacks are in ``call``."""

import asyncio
import time
from collections.abc import Awaitable, Collection
from typing import Final

from gateway.hooks.events import Admit, Authenticate, Refusal
from gateway.http.body import Framing
from gateway.http.chunked import last_chunk
from gateway.http.errors import MessageError
from gateway.http.forwarding import trailer_section
from gateway.http.response import Response
from gateway.metering.record import Outcome
from gateway.proxy.answer import client_framing, response_head
from gateway.proxy.balancer import Member
from gateway.proxy.books import Books
from gateway.proxy.call import Call
from gateway.proxy.callers import KEY_ADDRESS_DENIED, admits
from gateway.proxy.cors import answer_preflight
from gateway.proxy.failures import (
    CLIENT_LEFT,
    INTERNAL,
    NO_TARGET,
    TARGETS_BUSY,
    TARGETS_FAULT,
    UPSTREAM_FAILED,
    UPSTREAM_MALFORMED,
    CallFailed,
    Failure,
)
from gateway.proxy.measuring import Measuring
from gateway.proxy.outgoing import request_head
from gateway.proxy.recording import complete_record, new_record
from gateway.proxy.refusing import refuse, write_problem
from gateway.proxy.tunnel import run_tunnel
from gateway.proxy.upstream import UpstreamConnection
from gateway.tenants.model import Principal

NOT_FOUND: Final = Refusal(404, "no_route", "No route matches this request.")
_monotonic: Final = time.monotonic
IDEMPOTENT: Final = frozenset((b"GET", b"HEAD", b"PUT", b"DELETE", b"OPTIONS", b"TRACE"))


class Exchange(Call):
    """The order of one call."""

    __slots__ = ()

    async def run(self) -> None:
        """The whole call. Nothing is sent to the client after the last byte but by the next call."""
        self.connection.deadline = float("inf")
        try:
            if self.request.method == b"OPTIONS" and answer_preflight(self):
                return
            # Whatever usually need not wait is a plain call: each coroutine below this one costs a call a microsecond.
            refusal = self._find_route() or self._authenticate() or self._check()
            if refusal is None and self.request.framing is Framing.CHUNKED:
                refusal = await self._beginning()
            if refusal is None:
                refusal = self._open_books()
                if self.opened.waits:
                    refusal = await self.opened.reserve()
            if refusal is not None:
                refuse(self, refusal)
                return
            response = await self._forward()
            if response.status == 101:
                await run_tunnel(self, response)
            elif (waiting := self._answer(response)) is not None:
                await waiting
        except CallFailed as error:
            await self._failed(error.failure)
        except OSError:
            self._not_recorded()
        except Exception:
            self.server.logger.exception("a call failed", extra={"call": self.call_id.hex()})
            await self._failed(INTERNAL)
        finally:
            self._let_go()
            if self.member is not None and self.member.watched:
                self.plan.balancer.released(self.member, self.term)

    # ── before the upstream ──────────────────────────────────────────────────────────────────────────────────────

    def _find_route(self) -> Refusal | None:
        request = self.request
        match = self.server.plan.match(request.fields.hostname, request.method, request.path)
        if match is None:
            return NOT_FOUND
        self._match = match
        self.plan = match.value
        return None

    def _authenticate(self) -> Refusal | None:
        plan = self.plan
        if not plan.authenticate:
            return None
        guessing = self.server.services.guessing
        event = Authenticate(self.request, plan.route)
        for stage in plan.authenticate:
            answer = stage(event)
            if isinstance(answer, Principal):
                if guessing.waiting and not self.server.plan.serves(answer, plan):
                    refusal = guessing.refuses(self.server.plan.caller(self.connection.peer, self.request))
                    if refusal is not None:
                        return refusal
                self.principal = answer
                self.bound = self.server.plan.bound(answer, plan)
                return None
            if answer is not None:
                self.principal = answer.principal
                if answer.code == "unknown_key":
                    address = self.server.plan.caller(self.connection.peer, self.request)
                    return guessing.failed(self.call_id, address) or answer
                return answer  # type: ignore[no-any-return]
        return None

    def _check(self) -> Refusal | None:
        """All that is refused without looking at limits or the body."""
        plan, request, server = self.plan, self.request, self.server
        self.address = server.plan.caller(self.connection.peer, request)
        principal = self.principal
        if principal is not None and not principal.unrestricted:
            allowed = principal.key.addresses
            if allowed and not admits(allowed, (), self.address):
                return KEY_ADDRESS_DENIED
        for stage in plan.admit:
            refusal = stage(Admit(request, plan.route, self.principal, self.address))
            if refusal is not None:
                return refusal  # type: ignore[no-any-return]
        if not self.body.limit_to(plan.max_body):
            return Refusal(413, "body_too_large", "The request body is too large.")
        return None

    async def _beginning(self) -> Refusal | None:
        """Look at the beginning of a chunked body first, so that broken chunks reach nobody."""
        if self.body.complete or self.request.fields.expects_continue:
            return None
        server = self.server
        try:
            await self.body.beginning(server.loop, server.settings.hold, server.settings.hold_bytes)
        except MessageError as error:
            return Refusal(error.status, error.code, error.detail)
        return None

    def _open_books(self) -> Refusal | None:
        """The slot and the reservation; where the store must be waited for, the books say so."""
        server = self.server
        self.record = new_record(self, server.plan.shown_address(self.address))
        books = self.books = Books(server.services, self.plan, self.bound, self.record)
        return books.admit(self.address, server.plan.serves_unmetered)

    # ── the upstream ─────────────────────────────────────────────────────────────────────────────────────────────

    async def _forward(self) -> Response:
        """Send the request; the answer's head. A request that a kept connection lost is sent once more if it may be."""
        request = self.request
        idempotent = request.method in IDEMPOTENT
        member = self._choose()
        upstream = member.pool.take(self.server.loop.time(), idempotent=idempotent)
        kept, again = upstream is not None, False
        while True:
            if upstream is None:
                reached = asyncio.ensure_future(self._reach(member, idempotent))  # a task, for its timeout
                upstream, member, kept = await reached
                if not upstream.usable:  # it was closed since, or spoke before it was asked
                    upstream.destroy()
                    if not kept:
                        raise CallFailed(UPSTREAM_FAILED)
                    upstream = None
                    continue
            self.attempts += 1
            self._send(upstream)
            if upstream.response is None and upstream.failure is None:
                await upstream.changed()
            response = upstream.response
            if upstream.failure is None and response is not None:
                self.ttfb = _monotonic() - self.started
                if response.status == 101 and not (request.fields.upgrade and request.minor_version):
                    raise CallFailed(UPSTREAM_MALFORMED)
                if member.watched:
                    self.plan.balancer.succeeded(member, self.term)
                return response
            failure = upstream.failure or UPSTREAM_FAILED
            if not (kept and not again and not upstream.answered and self._may_repeat(failure)):
                raise CallFailed(failure)
            again = True
            self._let_go()
            upstream = None

    def _choose(self, tried: Collection[Member] = ()) -> Member:
        """The target that takes the call; raises ``CallFailed`` when none is healthy."""
        member = self.member = self.plan.balancer.choose(tried)
        if member is None:
            raise CallFailed(NO_TARGET)
        self.term = member.conduct.term
        self.record.target = member.url
        return member

    async def _reach(self, member: Member, idempotent: bool) -> tuple[UpstreamConnection, Member, bool]:
        """A new connection, or one to another target if this one can't be reached: nothing has been sent yet.

        The last of what is returned: whether it was kept.
        """
        plan, tried = self.plan, [member]
        while True:
            try:
                return await member.pool.connect(plan.connect_timeout, plan.max_connections), member, False
            except CallFailed as error:
                busy = error.failure is TARGETS_BUSY
                if not busy:
                    plan.balancer.failed(member, self.term)
                plan.balancer.released(member, self.term)
                self.member = None
                try:
                    member = self._choose(tried)
                except CallFailed:
                    raise error from None
                self.server.metrics.upstream_failed(error.failure.code)
                self.attempts += not busy
                tried.append(member)
            kept = member.pool.take(self.server.loop.time(), idempotent=idempotent)
            if kept is not None:
                return kept, member, True

    def _may_repeat(self, failure: Failure) -> bool:
        """A request that may have been lost on a kept connection: idempotent, and all of it still here."""
        body = self.body
        repeatable = self.request.method in IDEMPOTENT and body.complete and body.replayable
        return failure is UPSTREAM_FAILED and repeatable and not self.gone

    def _send(self, upstream: UpstreamConnection) -> None:
        plan, connection, body = self.plan, self.connection, self.body
        self.upstream = upstream
        upstream.begin(self, self.request.method)
        if self.gone:
            raise CallFailed(CLIENT_LEFT)
        head = request_head(
            self.request, plan, self._match.prefix, upstream.pool, self.bound, connection.peer, self.request_id,
            self.server.plan.trusts(connection.peer),
        )  # fmt: skip
        self.opened.sent()
        self.begun = True
        self.forwarding = True
        held = body.attach(upstream)
        upstream.transport.write(head + held if held else head)
        if not body.complete:
            connection.resume_reading()
        connection.deadline = self.server.loop.time() + plan.read_timeout

    # ── the answer ───────────────────────────────────────────────────────────────────────────────────────────────

    def _answer(self, response: Response) -> Awaitable[None] | None:
        """Relay the answer; its last piece waits until the call is in the books (SEMANTICS §4).

        What is returned, where something must be waited for, is to be awaited.
        """
        upstream, connection, plan, books = self.upstream, self.connection, self.plan, self.opened
        assert upstream is not None
        framing = self._framing = client_framing(self.request, response)
        if plan.measure:
            self.measuring = Measuring(plan, response)
        if framing is Framing.CLOSE or not self.body.complete or self.server.draining or self.client_eof:
            self.keep_alive = False
        head = response_head(
            self.request, response, plan, self.bound, framing, self.request_id,
            books.limit_lines(self.server.plan.style), self.keep_alive,
        )  # fmt: skip
        if not upstream.complete:
            return self._relay_body(upstream, head)
        last = self._last_piece(upstream, head)
        waiting = self.book("client_left" if self.gone else "ok", response.status)
        if waiting is not None:
            return self._end(last, waiting)
        connection.write(last)
        books.close()
        return None

    def _last_piece(self, upstream: UpstreamConnection, head: bytes) -> bytes:
        """What must not leave before the call is in the books, behind ``head`` where that is still to be sent."""
        last = head
        for piece in upstream.pending:
            last += self._framed(piece)
        if upstream.final:
            last += self._framed(upstream.final)
        if self._framing is Framing.CHUNKED:
            last += last_chunk(trailer_section(upstream.trailers))
        return last

    async def _end(self, last: bytes, waiting: Awaitable[None] | None) -> None:
        if waiting is not None:
            await waiting
        self.connection.write(last)
        self.opened.close()

    async def _relay_body(self, upstream: UpstreamConnection, head: bytes) -> None:
        """The body as it comes, and its last piece when the call is in the books."""
        self.connection.write(head)
        self.head_sent = True
        self.progress()
        for piece in upstream.start_relay():
            self.relay(piece)
        if self.connection.write_paused:
            self.client_slow(True)
        await upstream.body()
        response = upstream.response
        assert response is not None
        last = self._last_piece(upstream, b"")
        await self._end(last, self.book("client_left" if self.gone else "ok", response.status))

    def book(self, outcome: Outcome, status: int, not_billable: str = "") -> Awaitable[None] | None:
        """Complete the record, append and settle; what is returned is to be awaited."""
        record = self.record
        units = complete_record(self, outcome, status, not_billable)
        waiting = self.opened.finish(units, counted=record.billable)
        if waiting is not None:
            return self._booked(waiting, status)
        self.plan.metrics.observe(status, record.duration_us)
        return None

    async def _booked(self, waiting: Awaitable[None], status: int) -> None:
        self.progress()
        await waiting
        self.plan.metrics.observe(status, self.record.duration_us)

    async def _failed(self, failure: Failure) -> None:
        """The call ended before its answer did: record it, and tell a client that has seen nothing yet."""
        server, connection = self.server, self.connection
        self._blame(failure)
        if failure.outcome not in ("client_left", "ended"):
            server.metrics.upstream_failed(failure.code)
        response = self.upstream.response if self.upstream is not None else None
        status = response.status if response is not None and self.head_sent else failure.status
        # What a client saw before it left is billed; so is work whose units were still to come (SEMANTICS §12).
        billable = (failure.outcome == "ended" and self.head_sent) or (
            failure is CLIENT_LEFT and (self.head_sent or (self.plan.drain > 0 and self.begun))
        )
        try:
            if self.books is not None and self.books.open and not self.books.finished:
                waiting = self.book(failure.outcome, status, "" if billable else failure.code)
                if waiting is not None:
                    await waiting
        except OSError:
            self._not_recorded()
            return
        self.keep_alive = self.keep_alive and self.body.complete
        if self.head_sent or self.gone:
            self.keep_alive = False
            connection.abort(reset=self._framing is Framing.CLOSE)
        else:
            write_problem(self, Refusal(failure.status, failure.code, failure.detail))
        if self.books is not None:
            self.books.close()

    def _not_recorded(self) -> None:
        """SEMANTICS §25: the client must not take its answer for whole."""
        self.server.logger.exception("a call was not recorded", extra={"call": self.call_id.hex()})
        self.keep_alive = False
        self.connection.abort(reset=True)
        if self.books is not None:
            self.books.close()

    def _blame(self, failure: Failure) -> None:
        """Tell the balancer of a target's own fault; one that could not be reached was told of before."""
        member = self.member
        if member is not None and member.watched and failure in TARGETS_FAULT:
            self.plan.balancer.failed(member, self.term)

    def _let_go(self) -> None:
        """The upstream connection goes back, or away."""
        upstream, self.upstream = self.upstream, None
        self.forwarding = False
        self.body.detach()
        if upstream is not None:
            response = upstream.response
            upstream.release(reusable=response is not None and response.keep_alive and self.body.complete)
