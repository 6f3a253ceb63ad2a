"""One client connection: cuts requests out of the bytes, one at a time, and runs the coroutine that answers them.

Bytes of the next request wait, bounded, until the answer before it is complete, so that pipelined requests cannot
overtake each other and a slow one costs no memory.
"""

import asyncio
import re
from typing import TYPE_CHECKING, Final, cast

from gateway.http.body import Framing
from gateway.http.errors import MessageError
from gateway.http.problem import problem, problem_response
from gateway.http.request import Request, RequestFields
from gateway.proxy.aborting import acknowledged, reset_on_close
from gateway.proxy.crowd import TOO_MANY
from gateway.proxy.exchange import Exchange
from gateway.proxy.request_body import RequestBody
from gateway.proxy.strand import Signal, Strand

if TYPE_CHECKING:
    from gateway.proxy.server import ProxyServer

NEVER: Final = float("inf")
_EMPTY_LINES: Final = re.compile(rb"(?:\r\n)+").match


class ClientConnection(asyncio.Protocol):
    """Owned by the event loop; the server keeps it in a set while it is open."""

    __slots__ = (
        "_begun", "_body", "_buffer", "_eof", "_fields", "_lingering", "_no_body", "_paused", "_strand", "_taken",
        "_waiting",
        "address", "deadline", "exchange", "lost", "peer", "served", "server", "transport", "tunnel", "write_paused",
    )  # fmt: skip

    def __init__(self, server: "ProxyServer") -> None:
        self.server = server
        self.transport: asyncio.Transport
        self.peer = ""
        self.address = ""
        self.deadline = NEVER
        self.exchange: Exchange | None = None
        self.served = 0
        self.lost = False
        self.write_paused = False
        self.tunnel = False
        self._buffer = b""
        self._body: RequestBody | None = None
        self._no_body: RequestBody | None = None
        self._fields: RequestFields | None = None
        self._waiting = Signal()
        self._paused = False
        self._taken = 0
        self._lingering = False
        self._eof = False
        self._begun = False

    # ── the event loop's side ────────────────────────────────────────────────────────────────────────────────────

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        self.peer = peer[0] if isinstance(peer, tuple) else ""
        welcome = self.server.opened(self)
        self.deadline = self.server.loop.time() + self.server.settings.idle_timeout
        self._strand = Strand(self._serve() if welcome else self._turn_away())

    def data_received(self, data: bytes) -> None:
        if self._lingering:
            return
        if self.tunnel and self.exchange is not None:
            self.exchange.from_client(data)
            return
        body = self._body
        if body is not None and not body.complete:
            data = self._feed(body, data)
            if not data:
                return
        self._buffer = self._buffer + data if self._buffer else data
        if self.exchange is None:
            self._waiting.wake()
        elif len(self._buffer) > self.server.settings.buffer:
            self.pause_reading()

    def _feed(self, body: RequestBody, data: bytes) -> bytes:
        try:
            rest = body.feed(data)
        except MessageError as error:
            body.complete = True
            self._lingering = True
            body.fail(error)
            if self.exchange is not None:
                self.exchange.body_broken(error)
            return b""
        if self.exchange is not None:
            self.exchange.body_progress()
            if not self.exchange.forwarding and body.held_size > self.server.settings.buffer:
                self.pause_reading()
        return rest

    def eof_received(self) -> bool:
        """The client sends no more. It may read on (RFC 9112 §9.6), or be gone: an answer in progress gets a moment."""
        self._eof = True
        if self.exchange is None:
            self._waiting.wake()  # what has begun will never be complete
            return False
        if self._lingering:
            return False
        self.exchange.client_finished()
        return True

    def connection_lost(self, error: Exception | None) -> None:
        self.lost = True
        self.deadline = NEVER
        if self._strand.done:  # else the coroutine says so when it has booked its call
            self.server.closed(self)
        if self.exchange is not None:
            self.exchange.client_left(aborted=error is not None)
        self._waiting.wake()

    def pause_writing(self) -> None:
        self.write_paused = True
        self._taken = acknowledged(self.transport)
        if self.exchange is not None:
            self.exchange.client_slow(True)

    def resume_writing(self) -> None:
        self.write_paused = False
        if self.exchange is not None:
            self.exchange.client_slow(False)
        else:
            self._waiting.wake()

    # ── the coroutine ────────────────────────────────────────────────────────────────────────────────────────────

    async def _serve(self) -> None:
        try:
            going = True
            while going:
                if self.write_paused:
                    await self._until_read()
                self._expect_request()
                while (request := self._take_request()) is None and self._may_come():
                    await self._waiting
                if request is None:
                    break
                exchange = self.exchange = Exchange(self, request, cast(RequestBody, self._body))
                if self._eof:
                    exchange.client_finished()
                await exchange.run()
                self.exchange = None
                self.served += 1
                going = self._goes_on(exchange)
        except MessageError as error:
            self._refuse(error)
        except Exception:
            self.server.logger.exception("connection failed")
            self.abort()
        finally:
            self.exchange = None
            self._finish()
            if self.lost:
                self.server.closed(self)

    async def _until_read(self) -> None:
        """Whoever sends requests and reads no answers is not read either: his answers would fill the memory."""
        self.pause_reading()
        self.deadline = self.server.loop.time() + self.server.settings.write_timeout
        while self.write_paused and not self.lost:
            await self._waiting

    async def _turn_away(self) -> None:
        """An answer to a connection too many; its request is not read."""
        self._lingering = True
        self._refuse(TOO_MANY)
        self._finish()

    @property
    def idle(self) -> bool:
        """Kept, without a request or a beginning of one."""
        return self.exchange is None and self.served > 0 and not self._buffer and not self._lingering

    def _expect_request(self) -> None:
        server = self.server
        self._body = None
        self._begun = False
        self.deadline = server.loop.time() + server.settings.idle_timeout

    def _take_request(self) -> Request | None:
        """The next request's head, if it is all there, with ``_body`` ready to take what follows."""
        request = self._parse() if self._buffer and not self.lost else None
        if self._paused and (request is None or len(self._buffer) <= self.server.settings.buffer):
            self.resume_reading()  # not before: each read brings more than a request takes away
        if request is None and self._buffer and not self._begun:
            self._begun = True
            self.deadline = self.server.loop.time() + self.server.settings.head_timeout
        return request

    def _may_come(self) -> bool:
        """Whether there is anybody to wait for."""
        if self.lost or self._eof or self.transport.is_closing():
            return False
        return not (self.server.draining and self.served and not self._buffer)

    def _parse(self) -> Request | None:
        data = self._buffer
        # RFC 9112 §2.2: empty lines before the request line are ignored.
        if data.startswith(b"\r\n") and (empty := _EMPTY_LINES(data)) is not None:
            data = self._buffer = data[empty.end() :]
        end = data.find(b"\r\n\r\n") + 4
        if end < 4 or end > self.server.settings.max_head:
            self._check_partial(data)
            return None
        line_end = data.find(b"\r\n")
        if line_end > self.server.settings.max_target:
            raise MessageError("request line too long", 414, "uri_too_long")
        section = data[line_end + 2 : end - 2]
        fields = self._fields
        if fields is None:
            fields = self._fields = RequestFields(section)
        elif fields.section != section:
            fields = self._fields = fields.follow(section)
        request = Request(data[:line_end], fields)
        if request.framing is Framing.NONE and self._no_body is not None:
            body = self._no_body
        else:
            body = RequestBody(request, self.server.settings.max_body, self.server.settings.replay_bytes)
            if request.framing is Framing.NONE:
                self._no_body = body  # nothing of a call stays in it
        self._buffer = data[end:]
        self._body = body
        if self._buffer and not body.complete:
            self._buffer = body.feed(self._buffer)
        return request

    def _check_partial(self, data: bytes) -> None:
        """A head that is not all there may be wrong already."""
        settings = self.server.settings
        line_end = data.find(b"\r\n")
        if line_end < 0 and len(data) > settings.max_target:
            raise MessageError("request line too long", 414, "uri_too_long")
        if len(data) > settings.max_head:
            raise MessageError("request head too large", 431, "header_too_large")
        if data.count(b"\n") != data.count(b"\r\n") or b"\0" in data:
            raise MessageError("bare LF or NUL in the request head")

    def _goes_on(self, exchange: Exchange) -> bool:
        body = self._body
        if self.lost or self.transport.is_closing() or not exchange.keep_alive:
            return False
        return body is not None and body.complete and not self._lingering

    def _refuse(self, error: MessageError) -> None:
        """An answer to what is no request: nothing reached an upstream, and nothing more is read."""
        now_us = self.server.clock.now()
        call_id = self.server.ids.new(now_us).hex()
        self.server.metrics.refused(error.code)
        self.server.refusals.count("", "", "", error.code, error.status)
        body = problem(error.status, error.code, error.detail, call_id)
        headers = [(b"X-Request-Id", call_id.encode())]
        self.write(problem_response(error.status, body, now_us, headers, head_only=False, close=True))

    # ── what an exchange asks of its connection ──────────────────────────────────────────────────────────────────

    def write(self, data: bytes) -> None:
        if not self.lost:
            self.transport.write(data)

    def pause_reading(self) -> None:
        if not self._paused and not self.lost and not self.transport.is_closing():
            self._paused = True
            self.transport.pause_reading()

    @property
    def reading_paused(self) -> bool:
        return self._paused

    def resume_reading(self) -> None:
        if self._paused and not self.lost and not self.transport.is_closing():
            self._paused = False
            self.transport.resume_reading()

    def take_buffer(self) -> bytes:
        """What came behind the head, for a tunnel."""
        data, self._buffer = self._buffer, b""
        return data

    def abort(self, *, reset: bool = False) -> None:
        """End without a clean end; ``reset`` where a FIN would read as the end of the body."""
        if self.lost or self.transport.is_closing():
            return
        if reset:
            reset_on_close(self.transport)
            self.transport.abort()
        else:
            self.transport.close()

    def on_deadline(self) -> None:
        """The server's sweep found ``deadline`` in the past."""
        self.deadline = NEVER
        if (self.write_paused or self.exchange is None) and self._still_takes():
            self.deadline = self.server.loop.time() + self.server.settings.write_timeout
        elif self.exchange is not None:
            self.exchange.timed_out()
        elif self._lingering or self.write_paused or not self._buffer:
            self.transport.abort()
        else:
            self._refuse(MessageError("the request head did not arrive in time", 408, "request_timeout"))
            self._finish()

    def _still_takes(self) -> bool:
        """Whether the client, however slowly, took of what waits for it since its buffer filled or this was asked."""
        if not self.transport.get_write_buffer_size():
            return False
        before, self._taken = self._taken, acknowledged(self.transport)
        return self._taken > before

    def drain(self) -> None:
        """The server is stopping: an idle connection ends now, a busy one after its answer."""
        if self.exchange is None and not self._buffer:
            if self.served:
                self._waiting.wake()
            else:  # accepted a moment ago: its request may be on the way
                self.deadline = min(self.deadline, self.server.loop.time() + self.server.settings.linger)

    def _finish(self) -> None:
        """Close; if the client is still sending, let it read the answer first instead of resetting it."""
        if self.lost or self.transport.is_closing():
            return
        body = self._body
        if (body is None or body.complete) and not self._buffer and not self._lingering:
            self.transport.close()
            return
        self._lingering = True
        self._buffer = b""
        self.resume_reading()
        self.deadline = self.server.loop.time() + self.server.settings.linger
        if self.transport.can_write_eof():
            self.transport.write_eof()
