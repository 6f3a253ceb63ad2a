"""One connection to an upstream: sends a request, parses the answer as it comes, hands the body on piece by piece.

The piece that completes a body is held in ``final``: it leaves only when the call is in the books (SEMANTICS §4).
Bytes after a message's end, or while idle, destroy the connection: they would answer somebody else's request.
"""

import asyncio
from typing import TYPE_CHECKING, Final, Protocol, cast

from gateway.http.body import Framing
from gateway.http.chunked import ChunkedDecoder
from gateway.http.errors import MessageError
from gateway.http.response import Response, ResponseFields
from gateway.proxy.aborting import acknowledged, reset_on_close
from gateway.proxy.failures import (
    TRUNCATED,
    UPSTREAM_FAILED,
    UPSTREAM_MALFORMED,
    CallFailed,
    Failure,
)
from gateway.proxy.strand import Signal

if TYPE_CHECKING:
    from gateway.proxy.pool import Pool

_IDLE: Final = 0
_HEAD: Final = 1
_BODY: Final = 2
_DONE: Final = 3
_TUNNEL: Final = 4
_DEAD: Final = 5


class Sink(Protocol):
    """Who takes the answer: the exchange of one call. All are called from the event loop, none may block."""

    def interim(self, response: Response) -> None:
        """A 1xx head."""

    def relay(self, data: bytes) -> None:
        """A piece of the body, or of a tunnel; never the one that completes the body."""

    def progress(self) -> None:
        """Bytes came."""

    def upstream_slow(self, slow: bool) -> None:
        """The upstream takes no more bytes, or takes them again."""


class UpstreamConnection(asyncio.Protocol):
    """States: idle → head → body → done → idle; tunnel after 101; dead at last."""

    __slots__ = (
        "_buffer", "_changed", "_choked", "_decoder", "_fields", "_max_head", "_method", "_remaining", "_sink",
        "_state", "_taken", "_told_end",
        "answered", "complete", "excess", "failure", "final", "idle_since", "keep_until", "loop", "paused",
        "pending", "pending_size", "pool", "relaying", "response", "trailers", "transport", "used",
    )  # fmt: skip

    def __init__(self, pool: "Pool", loop: asyncio.AbstractEventLoop, max_head: int) -> None:
        self.pool = pool
        self.loop = loop
        self._max_head = max_head
        self._state = _IDLE
        self._fields: ResponseFields | None = None
        self._sink: Sink | None = None
        self._changed = Signal()
        self.transport: asyncio.Transport
        self.used = 0
        self.idle_since = 0.0
        self.keep_until = 0.0
        self._told_end = False
        self._choked = False
        self._taken = 0
        self._clear()

    def _clear(self) -> None:
        self._buffer = b""
        self._decoder: ChunkedDecoder | None = None
        self._remaining = 0
        self.response: Response | None = None
        self.failure: Failure | None = None
        self.answered = False
        self.complete = False
        self.excess = False
        self.relaying = False
        self.paused = False
        self.pending: list[bytes] = []
        self.pending_size = 0
        self.final = b""
        self.trailers: list[tuple[bytes, bytes]] = []

    # ── the exchange's side ──────────────────────────────────────────────────────────────────────────────────────

    @property
    def usable(self) -> bool:
        return self._state == _IDLE and not self.transport.is_closing()

    def still_takes(self) -> bool:
        """Whether it is slow to take a body, and took of it since that began or this was asked."""
        if not self._choked:
            return False
        before, self._taken = self._taken, acknowledged(self.transport)
        return self._taken > before

    def begin(self, sink: Sink, method: bytes) -> None:
        """A request follows; ``method`` decides whether its answer has a body."""
        self._sink = sink
        self._method = method
        self._state = _HEAD
        self.used += 1

    def changed(self) -> Signal:
        """Wakes when the head is there, or the body is complete, or the call failed: whichever is next."""
        return self._changed

    async def body(self) -> None:
        """Until the body is complete; raises ``CallFailed``."""
        while not self.complete and self.failure is None:
            await self._changed
        if self.failure is not None:
            raise CallFailed(self.failure)

    def start_relay(self) -> list[bytes]:
        """From now on pieces go to the sink; what came before them is returned."""
        self.relaying = True
        pending, self.pending = self.pending, []
        if self.paused:
            self.resume()
        return pending

    def start_tunnel(self) -> bytes:
        """After 101: raw bytes both ways. What came behind the head is returned."""
        self._state = _TUNNEL
        self.relaying = True
        return self.final

    def fail(self, failure: Failure) -> None:
        """End the call here; the connection is of no more use."""
        if self.failure is None and not self.complete:
            self.failure = failure
        self.destroy()
        self._changed.wake()

    def release(self, *, reusable: bool) -> None:
        """The call is over."""
        self._sink = None
        # Choked: it answered a body that it has not taken yet; the next call would never be told to wait.
        if not reusable or self.excess or self._choked or self._state != _DONE or self.transport.is_closing():
            self.destroy()
            return
        self.resume()  # a client that took its last piece slowly had it paused: the next call is another's
        self._state = _IDLE
        self._clear()
        self.pool.keep(self)

    def destroy(self, *, reset: bool = False) -> None:
        """Close at once, whatever is buffered; with ``reset`` the peer sees an abort."""
        if self._state != _DEAD:
            self._state = _DEAD
            self.pool.forget(self)
            if reset:
                reset_on_close(self.transport)
            self.transport.abort()

    def pause(self) -> None:
        if not self.paused and not self.transport.is_closing():
            self.paused = True
            self.transport.pause_reading()

    def resume(self) -> None:
        if self.paused and not self.transport.is_closing():
            self.paused = False
            self.transport.resume_reading()

    # ── the event loop's side ────────────────────────────────────────────────────────────────────────────────────

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._state != _HEAD and self._sink is not None:
            self._sink.progress()
        try:
            if self._state == _BODY:
                self._body(data)
                if self.complete:
                    self._changed.wake()
            elif self._state == _HEAD:
                self._head(data)
            elif self._state == _TUNNEL and self._sink is not None:
                self._sink.relay(data)
            elif self._state == _DONE:
                self.excess = True
            else:
                self.destroy()
        except MessageError:
            self.fail(UPSTREAM_MALFORMED if self.response is None else TRUNCATED)

    def _head(self, data: bytes) -> None:
        self.answered = True
        data = self._buffer + data if self._buffer else data
        while True:
            end = data.find(b"\r\n\r\n") + 4
            if end < 4 or end > self._max_head:
                if len(data) > self._max_head:
                    raise MessageError("head too large")
                self._buffer = data
                if self._sink is not None:
                    self._sink.progress()
                return
            response = self._parse(data, end)
            data = data[end:]
            if response.status == 101:
                self._switch(response, data)
                return
            if response.status >= 200:
                break
            if self._sink is not None:
                self._sink.interim(response)
        self._buffer = b""
        self._start_body(response)
        if data or self.complete:
            self._body(data)
        self._changed.wake()

    def _parse(self, data: bytes, end: int) -> Response:
        line_end = data.find(b"\r\n")
        section = data[line_end + 2 : end - 2]
        fields = self._fields
        if fields is None or fields.section != section:
            fields = self._fields = ResponseFields(section)
        return Response(data[:line_end], fields, self._method)

    def _switch(self, response: Response, data: bytes) -> None:
        self.response = response
        self.final = data
        self.excess = True  # it speaks another protocol now, asked for or not: no request may follow
        self._state = _DONE
        self._changed.wake()

    def _start_body(self, response: Response) -> None:
        self.response = response
        self._state = _BODY
        if response.framing is Framing.LENGTH:
            self._remaining = cast(int, response.fields.length)
        elif response.framing is Framing.CHUNKED:
            self._decoder = ChunkedDecoder()
        elif response.framing is Framing.NONE:
            self.complete = True

    def _body(self, data: bytes) -> None:
        if self._decoder is not None:
            data = self._decoder.feed(data)
            if self._decoder.done:
                self.trailers = self._decoder.trailers
                self.excess = bool(self._decoder.rest)
                self.complete = True
        elif self._remaining:
            if len(data) > self._remaining:
                self.excess = True
                data = data[: self._remaining]
            self._remaining -= len(data)
            self.complete = not self._remaining
        elif self.complete and data:  # a message without a body, and something behind it
            self.excess = True
            data = b""
        if self.complete:
            self._state = _DONE
            self.final = data
        elif data:
            self._hand_on(data)

    def _hand_on(self, data: bytes) -> None:
        if self.relaying and self._sink is not None:
            self._sink.relay(data)
            return
        self.pending.append(data)
        self.pending_size += len(data)
        if self.pending_size > self._max_head:
            self.pause()

    def eof_received(self) -> None:
        """Over TLS it is told of a close_notify only (uvloop): without one the connection was cut (RFC 8446 §6.1)."""
        self._told_end = True

    def connection_lost(self, error: Exception | None) -> None:
        state, self._state = self._state, _DEAD
        if state != _DEAD:
            self.pool.forget(self)
        if state == _HEAD:
            self.failure = self.failure or UPSTREAM_FAILED
        elif state == _BODY:
            whole = error is None and (self._told_end or self.pool.tls is None)
            if whole and self.response is not None and self.response.framing is Framing.CLOSE:
                self.complete = True
            else:
                self.failure = self.failure or TRUNCATED
        elif state == _TUNNEL:
            if error is None:
                self.complete = True
            else:
                self.failure = self.failure or TRUNCATED
        self._changed.wake()

    def pause_writing(self) -> None:
        self._choked = True
        self._taken = acknowledged(self.transport)
        if self._sink is not None:
            self._sink.upstream_slow(True)

    def resume_writing(self) -> None:
        self._choked = False
        if self._sink is not None:
            self._sink.upstream_slow(False)
