"""Usage reported from outside, as CloudEvents: storage, seats, jobs. Each counts once, for ever."""

from collections.abc import Collection, Sequence
from typing import Literal

import msgspec

from gateway.api.operation import Allowed, Call, Operation, Reply
from gateway.api.problems import ApiError, FieldError
from gateway.api.values import Count, Model
from gateway.config.accounts import EventRule, event_rules
from gateway.metering.cloud_events import Envelope, Wrong, distinct_text, figure, identity, read_envelope, untimely
from gateway.storage.account_values import UsageEvent
from gateway.storage.ports import PLATFORM

MAX_EVENTS = 10_000
MAX_BODY = 16 << 20
SINGLE, BATCH = "application/cloudevents+json", "application/cloudevents-batch+json"


class EventResult(Model):
    """What became of one event of the request, in its order. A duplicate was counted before, and is a success."""

    id: str | None
    source: str | None
    status: Literal["accepted", "duplicate", "rejected"]
    duplicate: bool
    field: str | None = None
    message: str | None = None


class EventResults(Model):
    """One result an event."""

    accepted: Count
    duplicates: Count
    rejected: Count
    results: list[EventResult]


async def post_events(call: Call) -> Reply:
    batch = _events(call)
    rules = event_rules(call.services.snapshot().source)
    now = call.now_us
    read = [_read(event, rules, call.scope.tenant, now) for event in batch]
    known = await _tenants(call, {one.tenant for one in read if isinstance(one, UsageEvent)})
    for place, one in enumerate(read):
        if isinstance(one, UsageEvent) and one.tenant not in known:
            read[place] = Wrong("subject", "names no tenant")
    read = await _timely(call, read)
    if len(read) == 1 and not call.raw.lstrip().startswith(b"[") and isinstance(alone := read[0], Wrong):
        raise ApiError("invalid", errors=(FieldError(alone.field, alone.message),))
    good = [(place, one) for place, one in enumerate(read) if isinstance(one, UsageEvent)]
    repeats = await call.services.store.events.post(PLATFORM, [one for _, one in good], now) if good else set()
    repeated = {good[index][0] for index in repeats}
    results = [
        _result(event, one, place in repeated) for place, (event, one) in enumerate(zip(batch, read, strict=True))
    ]
    told = _Results(len(good) - len(repeated), len(repeated), len(read) - len(good), results)
    return Reply(raw=msgspec.json.encode(told))


class _Result(msgspec.Struct, gc=False):
    """``EventResult`` as ten thousand of them are written."""

    id: str | None
    source: str | None
    status: Literal["accepted", "duplicate", "rejected"]
    duplicate: bool
    field: str | None = None
    message: str | None = None


class _Results(msgspec.Struct):
    """``EventResults`` likewise."""

    accepted: int
    duplicates: int
    rejected: int
    results: list[_Result]


def _events(call: Call) -> Sequence[object]:
    """The events of the body: one object or, in a batch, an array."""
    try:
        document: object = msgspec.json.decode(call.raw)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise ApiError("malformed", "The body is not JSON.") from None
    media_type = call.request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if isinstance(document, dict) and media_type != BATCH:
        return [document]
    if not isinstance(document, list) or media_type == SINGLE:
        raise ApiError("invalid", errors=(FieldError("", "expected an event, or in a batch an array of events"),))
    if not 1 <= len(document) <= MAX_EVENTS:
        raise ApiError("invalid", errors=(FieldError("", f"a batch has 1 to {MAX_EVENTS} events"),))
    return document


def _read(event: object, rules: dict[str, EventRule], tenant: str | None, now_us: int) -> UsageEvent | Wrong:
    """One event as usage. Without X-Tenant-Id its subject names the tenant."""
    envelope = read_envelope(event, now_us)
    if isinstance(envelope, Wrong):
        return envelope
    rule = rules.get(envelope.type)
    if rule is None:
        return Wrong("type", "the configuration has no such type under events")
    whose = tenant or envelope.subject
    if not whose:
        return Wrong("subject", "must name the tenant, or send X-Tenant-Id")
    counted = _counted(envelope, rule)
    if isinstance(counted, Wrong):
        return counted
    value, distinct = counted
    hash = identity(whose, envelope.source, envelope.id)
    return UsageEvent(
        hash, whose, rule.meter, envelope.at_us, value, distinct, envelope.type, envelope.source, envelope.id,
        envelope.subject,
    )  # fmt: skip


def _counted(envelope: Envelope, rule: EventRule) -> tuple[int, str] | Wrong:
    if rule.aggregate == "unique":
        text = distinct_text(envelope.data, rule.value)
        return text if isinstance(text, Wrong) else (1, text)
    if rule.aggregate == "count" or not rule.value:
        return 1, ""
    value = figure(envelope.data, rule.value)
    return value if isinstance(value, Wrong) else (value, "")


async def _timely(call: Call, read: list[UsageEvent | Wrong]) -> list[UsageEvent | Wrong]:
    """Without those that are new and too old, or ahead of time."""
    wrong = {
        place: found
        for place, one in enumerate(read)
        if isinstance(one, UsageEvent) and (found := untimely(one.at_us, call.now_us)) is not None
    }
    if not wrong:
        return read
    hashes = [one.hash for place in wrong if isinstance(one := read[place], UsageEvent)]
    known = await call.services.store.events.known(PLATFORM, hashes)
    return [
        wrong[place] if place in wrong and isinstance(one, UsageEvent) and one.hash not in known else one
        for place, one in enumerate(read)
    ]


async def _tenants(call: Call, ids: Collection[str]) -> set[str]:
    if call.scope.tenant is not None:
        return {call.scope.tenant}
    ordered, known = sorted(ids), set[str]()
    for start in range(0, len(ordered), 500):
        known.update(await call.services.store.tenants.created(PLATFORM, ordered[start : start + 500]))
    return known


def _result(event: object, read: UsageEvent | Wrong, repeated: bool) -> _Result:
    if isinstance(read, UsageEvent):
        return _Result(read.id, read.source, "duplicate" if repeated else "accepted", repeated)
    given = event if isinstance(event, dict) else {}
    return _Result(_shown(given.get("id")), _shown(given.get("source")), "rejected", False, read.field, read.message)


def _shown(value: object) -> str | None:
    return value[:256].encode("utf-8", "replace").decode() if isinstance(value, str) else None


OPERATIONS = (
    Operation("postEvents", "POST", "/events", "Report usage as CloudEvents, one or a batch of up to 10,000",
              Allowed("events", "write", "either"), post_events, "events", EventResults,
              media_types=(SINGLE, BATCH, "application/json"), max_body=MAX_BODY, raw_body=True),
)  # fmt: skip
