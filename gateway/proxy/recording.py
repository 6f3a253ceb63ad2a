"""A call's record: as it stands when the call begins, and as it is when the call is over."""

import time
from typing import TYPE_CHECKING, Final

from gateway.http.forwarding import mask_keys
from gateway.metering.record import CallRecord, Flag, Outcome

if TYPE_CHECKING:
    from gateway.proxy.exchange import Exchange

_monotonic: Final = time.monotonic


def new_record(exchange: "Exchange", shown_address: str) -> CallRecord:
    """The record that the call leaves if the worker dies: interrupted, with the units that were reserved."""
    plan, bound, request = exchange.plan, exchange.bound, exchange.request
    return CallRecord(
        id=exchange.call_id,
        at_us=0,
        tenant=bound.tenant if bound is not None else "",
        key=bound.key if bound is not None else "",
        plan=bound.plan if bound is not None else "",
        route=plan.name,
        upstream=plan.upstream_name,
        method=request.method.decode("latin-1"),
        path=mask_keys(request.path).decode("latin-1"),
        units=plan.amounts,
        address=shown_address,
        request_id=exchange.given_request_id,
    )


def complete_record(exchange: "Exchange", outcome: Outcome, status: int, not_billable: str) -> dict[str, int]:
    """Fill in how the call ended; returns its units. ``not_billable`` says why it is not, whatever its status."""
    plan, record, measuring = exchange.plan, exchange.record, exchange.measuring
    upstream = exchange.upstream
    response = upstream.response if upstream is not None else None
    record.duration_us = duration_us = int((_monotonic() - exchange.started) * 1e6)
    record.request_bytes = request_bytes = exchange.body.size + exchange.tunnel_in
    record.response_bytes = exchange.response_bytes
    if measuring is None:
        units = plan.amounts
        if plan.measures:
            record.flags |= Flag.ESTIMATED
    else:
        units, flags = measuring.units(exchange.request, request_bytes, exchange.response_bytes, duration_us)
        record.flags |= flags
        if plan.learns and not flags:
            plan.learn(units)
    parts = exchange.parts
    if parts is not None and parts.count:
        units = parts.rest(units)
        record.request_bytes -= parts.request_bytes
        record.response_bytes -= parts.response_bytes
        record.part_at_us = exchange.server.services.counters.now()
    if not not_billable and status not in plan.billable:
        not_billable = "status"
    record.units = units
    record.status = status
    record.upstream_status = response.status if response is not None else 0
    record.outcome = outcome
    record.billable = not not_billable
    record.not_billable = not_billable
    record.ttfb_us = int(exchange.ttfb * 1e6)
    record.attempts = exchange.attempts
    return units
