"""Answers of the gateway's own: problem+json, with the request's id and, where a limit refused, its figures."""

from typing import TYPE_CHECKING

from gateway.hooks.events import Refusal
from gateway.http.problem import problem, problem_response

if TYPE_CHECKING:
    from gateway.proxy.exchange import Exchange


def refuse(exchange: "Exchange", refusal: Refusal) -> None:
    """End a call before the upstream: no record, only a count (SEMANTICS §6)."""
    server, principal = exchange.server, exchange.principal
    tenant, key = (principal.tenant.id, principal.key.id) if principal is not None else ("", "")
    server.metrics.refused(refusal.code)
    server.refusals.count(tenant, key, exchange.route_name, refusal.code, refusal.status)
    limits = exchange.books.limit_lines(server.plan.style) if exchange.books is not None else b""
    write_problem(exchange, refusal, limits)


def write_problem(exchange: "Exchange", refusal: Refusal, limits: bytes = b"") -> None:
    """Write the answer. The connection is kept if the request was read whole."""
    request, request_id = exchange.request, exchange.request_id
    keep_alive = exchange.keep_alive and bool(request.minor_version) and exchange.body.complete
    exchange.keep_alive = keep_alive = keep_alive and not exchange.server.draining
    body = problem(
        refusal.status, refusal.code, refusal.detail, request_id.decode(), kind=refusal.kind, members=refusal.members
    )
    headers = [(b"X-Request-Id", request_id), *refusal.headers]
    if exchange.route_name and exchange.plan.cors is not None:  # a browser reads a refusal as it reads an answer
        limits += exchange.plan.cors.lines(request)
    head_only, now_us = request.method == b"HEAD", exchange.server.clock.now()
    exchange.connection.write(
        problem_response(refusal.status, body, now_us, headers, limits, head_only=head_only, close=not keep_alive)
    )
