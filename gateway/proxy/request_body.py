"""A request's body on its way to the upstream: unframed strictly, held while it is small, then passed on.

A chunked body is decoded and framed anew, so that only what we understood reaches the upstream.
"""

import asyncio

from gateway.http.body import Framing
from gateway.http.chunked import ChunkedDecoder, chunk, last_chunk
from gateway.http.errors import MessageError
from gateway.http.forwarding import trailer_section
from gateway.http.request import Request
from gateway.proxy.upstream import UpstreamConnection


class RequestBody:
    """``size`` counts body bytes received. ``complete`` is true from the start when there is no body."""

    __slots__ = (
        "_chunked", "_decoder", "_held", "_limit", "_remaining", "_replay_limit", "_upstream", "_waiter", "complete",
        "held_size", "overflowed", "replayable", "size",
    )  # fmt: skip

    def __init__(self, request: Request, limit: int | None, replay_limit: int) -> None:
        self._chunked = request.framing is Framing.CHUNKED
        self._remaining = request.fields.length or 0
        self._decoder = ChunkedDecoder() if self._chunked else None
        self._limit = limit
        self._replay_limit = replay_limit
        self._held: list[bytes] = []
        self._upstream: UpstreamConnection | None = None
        self._waiter: asyncio.Future[None] | None = None
        self.held_size = 0
        self.overflowed = False
        self.size = 0
        self.complete = request.framing is Framing.NONE
        self.replayable = True
        if limit is not None and self._remaining > limit:
            raise MessageError("request body too large", 413, "body_too_large")

    def limit_to(self, limit: int | None) -> bool:
        """Set the route's own limit; False when the body is known to be larger."""
        self._limit = limit
        return limit is None or (self._remaining + self.size <= limit)

    def feed(self, data: bytes) -> bytes:
        """Take what came; returns what lies behind the body. Raises ``MessageError``."""
        rest = b""
        if self._decoder is not None:
            data = self._decoder.feed(data)
            self.complete = self._decoder.done
            rest = self._decoder.rest
        else:
            rest = data[self._remaining :]
            data = data[: self._remaining]
            self._remaining -= len(data)
            self.complete = not self._remaining
        self.size += len(data)
        if self._limit is not None and self.size > self._limit:
            raise MessageError("request body too large", 413, "body_too_large")
        self._pass_on(data)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
        return rest

    def _pass_on(self, data: bytes) -> None:
        framed = chunk(data) if self._chunked and data else data
        if self.complete and self._decoder is not None:
            framed += last_chunk(trailer_section(self._decoder.trailers))
        if self.replayable:
            self.held_size += len(framed)
            if self._upstream is not None and self.held_size > self._replay_limit:
                self.replayable = False
                self._held.clear()
            else:
                self._held.append(framed)
        if self._upstream is not None and framed:
            self._upstream.transport.write(framed)

    async def beginning(self, loop: asyncio.AbstractEventLoop, hold: float, hold_bytes: int) -> None:
        """Wait for the whole body or its beginning, for a moment, so that broken chunks reach nobody."""
        deadline = loop.time() + hold
        while not self.complete and self.held_size < hold_bytes and (left := deadline - loop.time()) > 0:
            self._waiter = loop.create_future()
            timer = loop.call_later(left, self._wake)
            try:
                await self._waiter
            finally:
                timer.cancel()
                self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def fail(self, error: Exception) -> None:
        """The body is broken, or its sender is gone: whoever waits for it learns so."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(error)

    def attach(self, upstream: UpstreamConnection) -> bytes:
        """From now on bytes go to ``upstream``; those that came before are returned, to be sent with the head."""
        self._upstream = upstream
        held = b"".join(self._held)
        if self.held_size > self._replay_limit:
            self.replayable = False
        if not self.replayable:
            self._held.clear()
        return held

    def detach(self) -> None:
        """The upstream is gone; what still comes is not passed on."""
        self._upstream = None
