"""Rollups: sums of records per quarter hour in UTC, and latency histograms (SEMANTICS §27).

Sums are plain additions, so the order, grouping and lateness of records cannot change them.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gateway.clock import MINUTE_US
from gateway.metering.record import CallRecord

QUARTER_US = 15 * MINUTE_US
DAY_US = 96 * QUARTER_US

BY_DAY, BY_TENANT, BY_TENANT_DAY = 1, 2, 3
"""Coarser sums of the same figures: whole days in UTC, a tenant's quarter hours without key and route, its days."""

LATENCY_BOUNDS_US = tuple(ms * 1000 for ms in (1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000))
"""Upper bounds of the histogram's buckets, inclusive; one more bucket holds what is slower."""

LATENCY_BUCKETS = len(LATENCY_BOUNDS_US) + 1

CellKey = tuple[str, int, str, str, int]
"""Tenant, quarter hour (its start in microseconds), key, route, status class (0 when there was no answer)."""

UnitKey = tuple[str, int, str, str, int, str]
"""The same and a meter."""


def quarter_of(at_us: int) -> int:
    """The start of the quarter hour that holds an instant."""
    return at_us - at_us % QUARTER_US


CoarseKey = tuple[object, ...]
"""Tenant, which of the coarser sums, start, key, route, status class, and a meter where there is one."""


def coarse_keys(tenant: str, quarter_us: int, key: str, route: str, *rest: object) -> tuple[CoarseKey, ...]:
    """The coarser sums that a cell is part of; ``rest`` is the status class, and a meter where there is one."""
    day_us = quarter_us - quarter_us % DAY_US
    by_day = (tenant, BY_DAY, day_us, key, route, *rest)
    return by_day, (tenant, BY_TENANT, quarter_us, "", "", *rest), (tenant, BY_TENANT_DAY, day_us, "", "", *rest)


def coarsened(sums: Mapping[CellKey, Sequence[int]] | Mapping[UnitKey, Sequence[int]]) -> dict[CoarseKey, list[int]]:
    """The coarser sums of some cells."""
    coarse: dict[CoarseKey, list[int]] = {}
    for cell, figures in sums.items():
        for key in coarse_keys(*cell):
            present = coarse.setdefault(key, [0] * len(figures))
            for place, figure in enumerate(figures):
                present[place] += figure
    return coarse


Amounts = dict[str, list[int]]
"""By meter: [units of billable records, quota units of counted records]."""


@dataclass(slots=True)
class Rollup:
    """Sums of many records, ready to be added to the stored ones.

    ``cells`` hold [calls, billable calls, request bytes, response bytes, latency buckets …]. Only final parts are calls
    (SEMANTICS §5).
    """

    cells: dict[CellKey, list[int]] = field(default_factory=dict)
    _amounts: dict[CellKey, Amounts] = field(default_factory=dict)

    @property
    def units(self) -> dict[UnitKey, list[int]]:
        """The amounts, each under its cell and meter."""
        return {(*key, meter): sums for key, amounts in self._amounts.items() for meter, sums in amounts.items()}

    def add(self, record: CallRecord) -> None:
        """Add one record."""
        part_at_us, units, quota_units = record.part_at_us, record.units, record.quota_units
        at_us = part_at_us or record.at_us  # SEMANTICS §5: a part's own time
        key = (record.tenant, at_us - at_us % QUARTER_US, record.key, record.route, record.status // 100)
        cell = self.cells.get(key)
        if cell is None:
            cell = self.cells[key] = [0] * (4 + LATENCY_BUCKETS)
            self._amounts.setdefault(key, {})
        if not record.part:
            cell[0] += 1
            if record.billable:
                cell[1] += 1
            cell[4 + bisect_left(LATENCY_BOUNDS_US, record.duration_us)] += 1
        cell[2] += record.request_bytes
        cell[3] += record.response_bytes
        if record.billable:
            _add(self._amounts[key], units, 0)
        if record.counted:
            # … but its quota units stay in the windows of the call's ``Decision.at``.
            if part_at_us:
                key = (record.tenant, quarter_of(record.at_us), *key[2:])
            _add(self._amounts.setdefault(key, {}) if part_at_us else self._amounts[key], quota_units, 1)


def _add(sums: Amounts, amounts: dict[str, int], place: int) -> None:
    for meter in amounts:
        present = sums.get(meter)
        if present is None:
            present = sums[meter] = [0, 0]
        present[place] += amounts[meter]


def quantile(histogram: Sequence[int], share: float) -> int | None:
    """The latency in microseconds that ``share`` of the calls do not exceed, linear within its bucket.

    None without calls. The open last bucket answers with its lower bound.
    """
    total = sum(histogram)
    if not total:
        return None
    rank, below = share * total, 0
    for index, count in enumerate(histogram):
        if count and below + count >= rank:
            low = LATENCY_BOUNDS_US[index - 1] if index else 0
            if index == len(LATENCY_BOUNDS_US):
                return low
            return round(low + (LATENCY_BOUNDS_US[index] - low) * max(0.0, rank - below) / count)
        below += count
    return LATENCY_BOUNDS_US[-1]
