"""After 101 the two connections are one pipe of bytes, with back-pressure, until either side ends it.

A side that closes its sending half is told on; the upstream's end is the tunnel's end, after the call is in the books
(SEMANTICS §4). An abort on one side is an abort on the other. Checkpoints are those of every long call.
"""

from typing import TYPE_CHECKING

from gateway.http.body import Framing
from gateway.http.response import Response
from gateway.metering.record import Outcome
from gateway.proxy.answer import response_head
from gateway.proxy.failures import UPSTREAM_MALFORMED, CallFailed
from gateway.proxy.measuring import Measuring

if TYPE_CHECKING:
    from gateway.proxy.exchange import Exchange


async def run_tunnel(exchange: "Exchange", response: Response) -> None:
    """Pass bytes both ways until the end, then record the call."""
    upstream, connection, books = exchange.upstream, exchange.connection, exchange.opened
    assert upstream is not None
    if not exchange.body.complete:  # bytes of the body would be taken for the tunnel's
        raise CallFailed(UPSTREAM_MALFORMED)
    exchange.keep_alive = False
    if exchange.plan.measure:
        exchange.measuring = Measuring(exchange.plan, response)
    connection.write(
        response_head(
            exchange.request, response, exchange.plan, exchange.bound, Framing.NONE, exchange.request_id,
            books.limit_lines(exchange.server.plan.style), keep_alive=False,
        )
    )  # fmt: skip
    exchange.head_sent = True
    connection.tunnel = True
    connection.deadline = exchange.server.loop.time() + exchange.patience
    exchange.relay(upstream.start_tunnel())
    exchange.from_client(connection.take_buffer())
    if exchange.client_eof:
        exchange.client_finished()
    connection.resume_reading()
    outcome: Outcome = "ok"
    try:
        await upstream.body()
    except CallFailed as error:
        outcome = error.failure.outcome
    waiting = exchange.book(outcome, 101)
    if waiting is not None:
        await waiting
    connection.abort(reset=outcome == "truncated")
    books.close()
