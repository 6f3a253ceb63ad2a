"""Plausible calls of the past: pure, and the same for the same seed. Times are microseconds since the epoch."""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from gateway.clock import DAY_US, HOUR_US, MINUTE_US
from gateway.demo.stories import HOURS, MONTH, WEEKDAYS, RouteStory, Story
from gateway.metering.record import CallRecord, Outcome, RefusalCount
from gateway.period import calendar_period, from_us, to_us

CLIENT_ERRORS = ((404, 18), (400, 9), (422, 7))  # status, calls per thousand
UPSTREAM_ERRORS_PER_THOUSAND = 6
TARGET = "http://127.0.0.1:9000"


@dataclass(frozen=True, slots=True)
class Slot:
    """``calls`` counted calls, spread over ``[start_us, end_us)``."""

    start_us: int
    end_us: int
    calls: int


def plan_slots(story: Story, start_us: int, end_us: int, this_month: int | None) -> list[Slot]:
    """Share a tenant's calls out over the hours of ``[start_us, end_us)``.

    ``this_month`` is how many of them must fall into the calendar month (in the tenant's zone) that holds the last
    instant; None lets every day have its usual number.
    """
    if this_month is None:
        return _share(story, start_us, end_us, story.daily * (end_us - start_us) // DAY_US)
    month = calendar_period(from_us(end_us - 1), MONTH, story.zone)
    middle_us = max(start_us, to_us(month.start))
    before = story.daily * (middle_us - start_us) // DAY_US
    return _share(story, start_us, middle_us, before) + _share(story, middle_us, end_us, this_month)


def _share(story: Story, start_us: int, end_us: int, calls: int) -> list[Slot]:
    """Split at full hours and give each its part by the rhythm of day and week; the parts add up to ``calls``."""
    hours: list[tuple[int, int, int]] = []
    at = start_us
    while at < end_us:
        until = min(end_us, at - at % HOUR_US + HOUR_US)
        local = from_us(at).astimezone(story.zone)
        weight = HOURS[local.hour] * WEEKDAYS[local.weekday()] * ((until - at) // 1_000_000 + 1)
        hours.append((at, until, weight))
        at = until
    whole = sum(weight for _, _, weight in hours)
    slots, seen, given = [], 0, 0
    for first, until, weight in hours:
        seen += weight
        due = calls * seen // whole
        slots.append(Slot(first, until, due - given))
        given = due
    return slots


def calls_of(story: Story, slots: list[Slot], seed: int) -> Iterator[CallRecord]:
    """The records of one tenant, in order of time: the slots' counted calls, and some that the API failed."""
    random = Random(f"{seed} {story.tenant}")
    routes = random.choices(story.routes, [route.weight for route in story.routes], k=4096)
    keys = random.choices(story.keys, [4**-place for place in range(len(story.keys))], k=997)
    addresses = [f"203.0.113.{random.randrange(2, 250)}" for _ in range(7)]
    number = 0
    for slot in slots:
        failed = sum(random.randrange(1000) < UPSTREAM_ERRORS_PER_THOUSAND for _ in range(slot.calls))
        outcomes = [True] * slot.calls + [False] * failed
        if failed:
            random.shuffle(outcomes)
        times = sorted(random.randrange(slot.start_us, slot.end_us) for _ in outcomes)
        for at_us, counted in zip(times, outcomes, strict=True):
            number += 1
            record = _record(random, story, routes[number % 4096], at_us, counted)
            record.key = keys[number % 997]
            record.address = addresses[number * number % 7]
            yield record


def refusals_of(story: Story, start_us: int, end_us: int, seed: int) -> Iterator[RefusalCount]:
    """The minutes in which a tenant with a small limit met it: about one in two days."""
    random = Random(f"{seed} {story.tenant} refusals")
    for day_us in range(start_us, end_us - DAY_US, DAY_US):
        if random.random() < 0.5:
            yield RefusalCount(
                minute_us=(day_us + random.randrange(DAY_US)) // MINUTE_US * MINUTE_US,
                tenant=story.tenant,
                key=story.keys[0],
                route=story.routes[0].route,
                code="limit_exceeded",
                status=429,
                count=random.randrange(1, 15),
            )


def scattered(story: Story, start_us: int, end_us: int, calls: int, seed: int) -> Iterator[CallRecord]:
    """``calls`` counted calls at any instants of ``[start_us, end_us)``: for tenants of whom there are thousands."""
    random = Random(f"{seed} {story.tenant}")
    for at_us in sorted(random.randrange(start_us, end_us) for _ in range(calls)):
        record = _record(random, story, random.choice(story.routes), at_us, counted=True)
        record.key = story.keys[0] if story.keys else ""
        yield record


def _record(random: Random, story: Story, route: RouteStory, at_us: int, counted: bool) -> CallRecord:
    status, outcome = route.status, _OK
    if not counted:
        status, outcome = random.choice(_FAILURES)
    elif (dice := random.randrange(1000)) < _CLIENT_ERRORS_PER_THOUSAND:
        status = _client_error(dice)
    units = {"calls": 1}
    if route.tokens:
        units["tokens"] = route.tokens // 2 + random.randrange(route.tokens) if status < 400 else 0
    duration = int(route.latency_us * random.lognormvariate(0.0, 0.45))
    return CallRecord(
        id=_call_id(random, at_us),
        at_us=at_us,
        tenant=story.tenant,
        route=route.route,
        upstream="api",
        target=TARGET,
        method=route.method,
        path=route.path.replace("{number}", str(1 + at_us % 9973)),
        status=status,
        upstream_status=0 if outcome != _OK else status,
        outcome=outcome,
        request_bytes=route.request_bytes,
        response_bytes=(route.size if status < 400 else 48) + at_us % 23,
        units=units,
        quota_units=units if counted else {},
        counted=counted,
        billable=counted,
        not_billable="" if counted else "status",
        ttfb_us=duration // 8 if route.tokens else duration * 9 // 10,
        duration_us=duration,
        attempts=1,
        plan=story.plan,
    )


_OK: Outcome = "ok"
_FAILURES: tuple[tuple[int, Outcome], ...] = ((500, "ok"), (500, "ok"), (502, "connect_failed"), (504, "timeout"))
_CLIENT_ERRORS_PER_THOUSAND = sum(share for _, share in CLIENT_ERRORS)


def _client_error(dice: int) -> int:
    for status, share in CLIENT_ERRORS:
        if dice < share:
            return status
        dice -= share
    raise AssertionError(dice)


def _call_id(random: Random, at_us: int) -> bytes:
    """A UUIDv7 as ``ids.uuid7`` makes them, but from the seed, so that a repeat makes the same."""
    bits = random.getrandbits(74)
    high, low = bits >> 62, bits & (1 << 62) - 1
    return ((at_us // 1000) << 80 | 0x7 << 76 | high << 64 | 0b10 << 62 | low).to_bytes(16, "big")
