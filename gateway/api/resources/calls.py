"""Single calls: newest first, by filters."""

from typing import Literal

from pydantic import Field

from gateway.api.operation import Allowed, Call, Operation, Reply
from gateway.api.problems import NOT_FOUND
from gateway.api.values import Count, GivenTime, Listed, Model, PageQuery, Time, time_text
from gateway.ids import format_id, parse_id
from gateway.metering.record import Flag
from gateway.storage.values import CallFilter, CallRow

Outcome = Literal[
    "", "ok", "client_left", "truncated", "timeout", "connect_failed", "upstream_failed", "no_target", "interrupted",
    "open",
]  # fmt: skip


class CallView(Model):
    """A call as the ledger holds it; ``part`` is 0 for a whole call. Durations are microseconds."""

    id: str
    part: int
    at: Time
    tenant: str | None
    key: str | None
    route: str
    upstream: str
    target: str
    method: str
    path: str
    status: int
    upstream_status: int
    outcome: str
    request_bytes: Count
    response_bytes: Count
    units: dict[str, int]
    quota_units: dict[str, int]
    counted: bool
    billable: bool
    not_billable: str | None
    time_to_first_byte_us: int
    duration_us: int
    attempts: int
    address: str | None
    request_id: str
    plan_version: str
    flags: list[str]

    @classmethod
    def of(cls, row: CallRow) -> "CallView":
        return cls(
            id=format_id("call", row.id), part=row.part, at=time_text(row.at_us), tenant=row.tenant or None,
            key=row.key or None, route=row.route, upstream=row.upstream, target=row.target, method=row.method,
            path=row.path, status=row.status, upstream_status=row.upstream_status, outcome=row.outcome,
            request_bytes=row.request_bytes, response_bytes=row.response_bytes, units=row.units,
            quota_units=row.quota_units, counted=row.counted, billable=row.billable,
            not_billable=row.not_billable or None, time_to_first_byte_us=row.ttfb_us, duration_us=row.duration_us,
            attempts=row.attempts, address=row.address or None, request_id=row.request_id, plan_version=row.plan,
            flags=[flag.name.lower() for flag in Flag if row.flags & flag and flag.name],
        )  # fmt: skip


class CallList(Listed[CallView]):
    """Calls, newest first. Pages neither repeat nor miss one while new calls come in."""


class CallParts(Model):
    """One call: its parts, the final one first."""

    data: list[CallView]


class CallQuery(PageQuery):
    """``status`` is a code (404) or a class (4)."""

    key: str = Field("", max_length=128)
    route: str = Field("", max_length=64)
    status: int = Field(0, ge=0, le=599)
    outcome: Outcome = ""
    since: GivenTime | None = None
    until: GivenTime | None = None


async def list_calls(call: Call) -> Reply:
    query = call.query(CallQuery)
    wanted = CallFilter(
        key=query.key, route=query.route, status=query.status, outcome=query.outcome, since_us=query.since,
        until_us=query.until,
    )  # fmt: skip
    page = await call.services.store.ledger.calls(call.scope, wanted, query.limit, query.after)
    return Reply(CallList(data=[CallView.of(row) for row in page.rows], next=page.next))


async def get_call(call: Call) -> Reply:
    try:
        id = parse_id("call", call.params["call"])
    except ValueError:
        raise NOT_FOUND from None
    parts = await call.services.store.ledger.call(call.scope, id)
    if not parts:
        raise NOT_FOUND
    return Reply(CallParts(data=[CallView.of(row) for row in parts]))


_READ = Allowed("usage", "read", "either")

OPERATIONS = (
    Operation("listCalls", "GET", "/calls", "Calls, newest first", _READ, list_calls, "calls", CallList,
              query=CallQuery),
    Operation("getCall", "GET", "/calls/{call}", "One call with its parts", _READ, get_call, "calls", CallParts),
)  # fmt: skip
