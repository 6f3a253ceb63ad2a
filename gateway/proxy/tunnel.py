"""After 101 the two connections are one pipe of bytes, with back-pressure, until either side ends it."""

from typing import TYPE_CHECKING

from gateway.http.body import Framing
from gateway.http.response import Response
from gateway.proxy.answer import response_head
from gateway.proxy.failures import CallFailed

if TYPE_CHECKING:
    from gateway.proxy.exchange import Exchange


async def run_tunnel(exchange: "Exchange", response: Response) -> None:
    """Pass bytes both ways until the end, then record the call."""
    upstream, connection = exchange.upstream, exchange.connection
    assert upstream is not None
    exchange.keep_alive = False
    connection.write(
        response_head(
            exchange.request, response, exchange.plan, exchange.bound, Framing.NONE, exchange.request_id, b"",
            keep_alive=False,
        )
    )  # fmt: skip
    exchange.head_sent = True
    connection.deadline = float("inf")
    connection.tunnel = True
    exchange.relay(upstream.start_tunnel())
    exchange.from_client(connection.take_buffer())
    connection.resume_reading()
    try:
        await upstream.body()
    except CallFailed:
        exchange.gone = True
    await exchange.book("ok", 101)
    connection.abort()
    exchange.opened.close()
