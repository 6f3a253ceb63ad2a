"""Call records and frames for tests of the ledger: plain defaults, one line to vary them."""

import random
from collections.abc import Iterable
from typing import Any

from gateway.ids import uuid7
from gateway.metering.ports import Frame, Position
from gateway.metering.record import CallRecord, RefusalCount, SpoolEntry, encode

T0 = 1_800_000_000_000_000
"""A Friday in January 2027, 08:00 UTC: the start of a quarter hour."""


def call(at_us: int = T0, **fields: Any) -> CallRecord:
    """A billable, counted call worth one unit."""
    units = fields.pop("units", {"calls": 1})
    values: dict[str, Any] = {
        "id": uuid7(max(0, at_us)),
        "at_us": at_us,
        "tenant": "acme",
        "key": "k1",
        "route": "weather",
        "method": "GET",
        "path": "/weather",
        "status": 200,
        "upstream_status": 200,
        "outcome": "ok",
        "units": units,
        "quota_units": units,
        "counted": True,
        "billable": True,
        "request_bytes": 100,
        "response_bytes": 1000,
        "duration_us": 4000,
        "attempts": 1,
    }
    return CallRecord(**(values | fields))


def frames(entries: Iterable[SpoolEntry], incarnation: str = "h-0-a", first: int = 1) -> list[Frame]:
    """Frames as a spool holds them."""
    return [Frame(Position(incarnation, n), encode(entry)) for n, entry in enumerate(entries, first)]


def varied(rng: random.Random, count: int) -> list[SpoolEntry]:
    """A mixture of calls, parts of long calls and refusals, over six hours."""
    entries: list[SpoolEntry] = []
    for _ in range(count):
        at_us = T0 + rng.randrange(6 * 3600) * 1_000_000 + rng.randrange(1_000_000)
        tenant = rng.choice(["acme", "beta", ""])
        if rng.random() < 0.1:
            minute = at_us - at_us % 60_000_000
            entries.append(RefusalCount(minute_us=minute, tenant=tenant, code="limit", status=429, count=3))
            continue
        part = rng.choice([0, 0, 0, 0, 1, 2])
        units = {"calls": 1, "tokens": rng.randrange(500)} if rng.random() < 0.5 else {"calls": 1}
        entries.append(
            call(
                at_us,
                tenant=tenant,
                key=rng.choice(["k1", "k2"]) if tenant else "",
                route=rng.choice(["weather", "chat"]),
                status=rng.choice([200, 201, 304, 404, 500, 0]),
                part=part,
                part_at_us=at_us + rng.randrange(3600 * 1_000_000) if part else 0,
                units=units,
                quota_units=units if rng.random() < 0.7 else {"calls": 1},
                counted=rng.random() < 0.8,
                billable=rng.random() < 0.8,
                duration_us=rng.randrange(20_000_000),
            )
        )
    return entries
