"""Checkpoints of long streams and tunnels (SEMANTICS §5, 7): a part in the spool, its units in the counters, and a new
look at key, tenant and limits. The server's sweep asks ``due`` about every call in progress.
"""

import time
from typing import TYPE_CHECKING

import msgspec

from gateway.errors import StoreUnavailable
from gateway.hooks.events import Authenticate, Refusal
from gateway.metering.record import CallRecord
from gateway.proxy.failures import Failure
from gateway.proxy.parts import Parts, running_figure
from gateway.quotas.counter import CounterRequest, Reservation
from gateway.quotas.limit import Algorithm
from gateway.quotas.packing import pack
from gateway.tenants.model import Principal

if TYPE_CHECKING:
    from gateway.proxy.call import Call

_LIMIT_REACHED = Failure(429, "limit_reached", "A limit was reached while the connection was open.", "ended")


def due(call: "Call", now: float) -> bool:
    """Whether a call's next checkpoint is due; ``now`` is monotonic seconds."""
    books, upstream, parts = call.books, call.upstream, call.parts
    if books is None or not books.open or books.finished or upstream is None:
        return False
    settings = call.server.settings
    since = parts.at if parts is not None else call.started
    if now - since >= settings.checkpoint_interval:
        return True
    if upstream.response is None:
        return False
    passed = call.passed - (parts.request_bytes + parts.response_bytes if parts is not None else 0)
    return passed >= settings.checkpoint_bytes


async def checkpoint(call: "Call") -> None:
    """Record what passed since the last checkpoint, then end the call if it may not go on."""
    if call.upstream is None or call.opened.finished:
        return  # it ended before its turn came
    if call.upstream.response is None:
        # Whether an upload is billable is known with its answer: until then it has no part, but must still be allowed.
        call.parts = call.parts or Parts()
        call.parts.at = time.monotonic()
    else:
        part = _record_part(call)
        if part is not None and part.quota_units:
            await _count(call, part)
    failure = await _verdict(call)
    if failure is not None and call.upstream is not None and not call.opened.finished:
        call.server.metrics.ended(failure.code)
        call.upstream.fail(failure)


def _record_part(call: "Call") -> CallRecord | None:
    """Append the part. When the disk does not take it, its units wait for the next one."""
    services, record, plan, books = call.server.services, call.record, call.plan, call.opened
    upstream = call.upstream
    assert upstream is not None
    assert upstream.response is not None
    parts = call.parts or Parts()
    now, now_us = time.monotonic(), services.counters.now()
    request_bytes, response_bytes = call.body.size + call.tunnel_in, call.response_bytes
    units: dict[str, int] = {}
    for meter in plan.route.meters:
        figure = running_figure(meter, request_bytes, response_bytes, int((now - call.started) * 1e6))
        if figure is not None:
            units[meter.name] = max(0, figure - parts.units.get(meter.name, 0))
    status = upstream.response.status
    billable = status in plan.billable
    part = msgspec.structs.replace(
        record, part=parts.count + 1, part_at_us=now_us, outcome="open", status=status, upstream_status=status,
        request_bytes=request_bytes - parts.request_bytes, response_bytes=response_bytes - parts.response_bytes,
        units=units, quota_units=units if billable and call.bound is not None else {}, counted=billable,
        billable=billable, not_billable="" if billable else "status", attempts=call.attempts,
        ttfb_us=int(call.ttfb * 1e6), duration_us=int((now - (parts.at or call.started)) * 1e6),
    )  # fmt: skip
    try:
        services.spool.append(part)
    except OSError:
        services.logger.exception("a checkpoint was not recorded", extra={"call": call.call_id.hex()})
        parts.at, call.parts = now, parts
        return None
    parts.count, parts.at = part.part, now
    parts.request_bytes, parts.response_bytes = request_bytes, response_bytes
    for name, delta in units.items():
        parts.units[name] = parts.units.get(name, 0) + delta
    call.parts = parts
    # Should the worker die: no more than what is recorded by now (SEMANTICS §5).
    left = {name: 0 if name in units else figure for name, figure in plan.amounts.items()}
    books.checkpoint(msgspec.structs.replace(record, units=left, part_at_us=now_us))
    return part


async def _count(call: "Call", part: CallRecord) -> None:
    """Add a part's units to the counters, in the windows of the call's own time; the reservation stays as it is."""
    services, reservation = call.server.services, call.opened.reservation
    requests = tuple(
        CounterRequest(request.counter, 0)
        for request in reservation.requests
        if request.counter.algorithm is not Algorithm.CONCURRENT and part.quota_units.get(request.counter.limit.meter)
    )
    if not requests:
        return
    nothing = Reservation(requests, pack(requests, reservation.tenant), reservation.tenant)
    amounts = [part.quota_units[request.counter.limit.meter] for request in requests]
    name = _part_id(call.call_id, 2 * part.part)
    try:
        if services.immediate is None:  # a store of many hosts settles only what it knows of
            await services.counters.reserve(name, nothing)
        await services.counters.settle(name, part.at_us, nothing, amounts)
    except StoreUnavailable as error:
        services.store_failed(error)
        if services.immediate is None:  # told when the store answers again, as of a call that policy let pass
            await services.counters.count(name, part.at_us, nothing, amounts)


async def _verdict(call: "Call") -> Failure | None:
    """Why the call may not go on: its key, its tenant, or, for a tunnel, a hard limit that is used up."""
    if call.gone or not call.plan.authenticate:
        return None
    answer = _authenticate_again(call)
    if isinstance(answer, Refusal):
        return Failure(answer.status, answer.code, answer.detail, "ended")
    if call.connection.tunnel and answer is not None and await _used_up(call, answer):
        return _LIMIT_REACHED
    return None


def _authenticate_again(call: "Call") -> Principal | Refusal | None:
    event = Authenticate(call.request, call.plan.route)
    for stage in call.plan.authenticate:
        answer: Principal | Refusal | None = stage(event)
        if answer is not None:
            return answer
    return None


async def _used_up(call: "Call", principal: Principal) -> bool:
    """Whether a hard limit of this moment's plan has no room for one more unit."""
    server = call.server
    services = server.services
    counters = server.plan.bound(principal, call.plan).counters(services.counters.now(), call.address)
    metered = [
        counter
        for counter in counters
        if counter.algorithm is not Algorithm.CONCURRENT
        and counter.limit.mode == "hard"
        and call.parts is not None
        and counter.limit.meter in call.parts.units
    ]
    if not metered or call.parts is None:
        return False
    requests = tuple(CounterRequest(counter, 0) for counter in metered)
    tenant = principal.tenant.id
    probe = Reservation(requests, pack(requests, tenant), tenant)
    name = _part_id(call.call_id, 2 * call.parts.count + 1)
    try:
        decision = await services.counters.reserve(name, probe)
        if decision.admitted:
            await services.counters.release(name, decision.at_us, probe)
    except StoreUnavailable as error:
        services.store_failed(error)
        return False
    return not decision.admitted or any(not state.remaining for state in decision.states)


def _part_id(call_id: bytes, number: int) -> bytes:
    """An id of its own for each change of the counters: a recovery must not take it for the call's last."""
    return call_id[:-4] + (int.from_bytes(call_id[-4:], "big") ^ (number & 0xFFFFFFFF)).to_bytes(4, "big")
