"""Seals of rows, pure: which rows are alike, and what is left of them (SEMANTICS §28)."""

import hashlib
import json
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.metering.rollup import LATENCY_BOUNDS_US, LATENCY_BUCKETS, quarter_of
from gateway.storage.rows import AnyRow
from gateway.storage.schema import LATENCY_COLUMNS

Values = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Bounds:
    """What of a tenant may be sealed, and what a seal must keep apart.

    Rows before ``before_us`` that were posted up to ``posted`` (None: whenever). A seal lies between two neighbours
    of ``instants``, at which billing periods begin, and of ``watermarks``, up to which invoices looked; both ascend.
    """

    tenant: str
    before_us: int
    posted: int | None = None
    instants: tuple[int, ...] = ()
    watermarks: tuple[int, ...] = ()

    def place(self, at_us: int) -> int:
        """The instant that stands for ``at_us``: the start of its quarter hour, or a later one that a period has."""
        index = bisect_right(self.instants, at_us)
        start_us = quarter_of(at_us)
        return max(start_us, self.instants[index - 1]) if index else start_us

    def band(self, posting: int) -> int:
        """How many invoices had looked before it was posted."""
        return bisect_left(self.watermarks, posting)


def seal_calls(rows: Iterable[AnyRow], bounds: Bounds, now_us: int) -> list[Values]:
    """The seals of some rows of ``calls``."""
    groups: dict[tuple[Any, ...], list[AnyRow]] = {}
    for row in rows:
        decided_us = None if row.decided_us is None else bounds.place(row.decided_us)
        when = (bounds.place(row.at_us), decided_us, bounds.band(row.posting))
        alike = (row.key, row.route, row.status, row.outcome, bool(row.billable), bool(row.counted))
        groups.setdefault((*when, *alike), []).append(row)
    return [_call_seal(group, of, bounds.tenant, now_us) for group, of in groups.items()]


def _call_seal(group: tuple[Any, ...], rows: Sequence[AnyRow], tenant: str, now_us: int) -> Values:
    at_us, decided_us, _, key, route, status, outcome, billable, counted = group
    units, quota = _added(row.units for row in rows), _added(row.quota_units or row.units for row in rows)
    latency = [0] * LATENCY_BUCKETS
    for row in rows:
        if not row.part:
            latency[bisect_left(LATENCY_BOUNDS_US, row.duration_us)] += 1
    return {
        "posting": max(row.posting for row in rows),
        "tenant": tenant,
        "at_us": at_us,
        "decided_us": decided_us,
        "key": key,
        "route": route,
        "status": status,
        "outcome": outcome,
        "billable": billable,
        "counted": counted,
        "rows": len(rows),
        "calls": sum(not row.part for row in rows),
        "request_bytes": sum(row.request_bytes for row in rows),
        "response_bytes": sum(row.response_bytes for row in rows),
        "units": units,
        "quota_units": None if quota == units else quota,
        **dict(zip(LATENCY_COLUMNS, latency, strict=True)),
        "ids": _digest(row.id + row.part.to_bytes(4, "big") for row in rows),
        "sealed_us": now_us,
    }


def seal_events(rows: Iterable[AnyRow], bounds: Bounds, now_us: int) -> list[Values]:
    """The seals of some rows of ``events``."""
    groups: dict[tuple[Any, ...], list[AnyRow]] = {}
    for row in rows:
        group = (row.meter, row.distinct, bounds.place(row.at_us), bounds.band(row.posting))
        groups.setdefault(group, []).append(row)
    return [_event_seal(group, of, bounds.tenant, now_us) for group, of in groups.items()]


def _event_seal(group: tuple[Any, ...], rows: Sequence[AnyRow], tenant: str, now_us: int) -> Values:
    meter, distinct, at_us, _ = group
    latest = max(rows, key=lambda row: (row.at_us, row.posting))
    return {
        "posting": max(row.posting for row in rows),
        "tenant": tenant,
        "meter": meter,
        "distinct": distinct,
        "at_us": at_us,
        "events": len(rows),
        "sum": sum(row.value for row in rows),
        "max": max(row.value for row in rows),
        "latest": latest.value,
        "latest_us": latest.at_us,
        "latest_posting": latest.posting,
        "ids": _digest(f"{row.source}\n{row.id}".encode() for row in rows),
        "sealed_us": now_us,
    }


def _added(texts: Iterable[str]) -> str:
    """The sum of units as a row holds them."""
    sums: dict[str, int] = {}
    for text in texts:
        for meter, amount in json.loads(text).items():
            sums[meter] = sums.get(meter, 0) + amount
    return json.dumps(dict(sorted(sums.items())), separators=(",", ":"), ensure_ascii=False)


def _digest(identities: Iterable[bytes]) -> bytes:
    """SHA-256 over the identities, sorted, each by its own digest: no two lists run into one another."""
    whole = hashlib.sha256()
    for identity in sorted(identities):
        whole.update(hashlib.sha256(identity).digest())
    return whole.digest()
