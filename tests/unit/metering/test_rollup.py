"""Quarter hours, what is added to them, and quantiles."""

import pytest
from support.records import T0, call

from gateway.metering.rollup import LATENCY_BOUNDS_US, LATENCY_BUCKETS, QUARTER_US, Rollup, quantile, quarter_of


def test_a_quarter_hour_is_half_open() -> None:
    assert quarter_of(T0) == T0
    assert quarter_of(T0 + QUARTER_US - 1) == T0
    assert quarter_of(T0 + QUARTER_US) == T0 + QUARTER_US


def test_only_final_parts_are_calls_but_every_part_has_units() -> None:
    rollup = Rollup()
    rollup.add(call(part=1, units={"tokens": 5}))
    rollup.add(call(part=0, units={"tokens": 2}))
    (cell,) = rollup.cells.values()
    assert cell[:4] == [1, 1, 200, 2000]
    assert sum(cell[4:]) == 1
    assert rollup.units == {("acme", T0, "k1", "weather", 2, "tokens"): [7, 7]}


def test_units_need_billable_and_quota_units_need_counted() -> None:
    rollup = Rollup()
    rollup.add(call(billable=False, counted=True))
    rollup.add(call(billable=True, counted=False))
    (cell,) = rollup.cells.values()
    assert cell[:2] == [2, 1]
    assert list(rollup.units.values()) == [[1, 1]]


@pytest.mark.parametrize(("duration_us", "bucket"), [(0, 0), (1000, 0), (1001, 1), (10_000_000, 12), (10_000_001, 13)])
def test_latency_bounds_are_inclusive(duration_us: int, bucket: int) -> None:
    rollup = Rollup()
    rollup.add(call(duration_us=duration_us))
    (cell,) = rollup.cells.values()
    assert cell[4 + bucket] == 1


def test_quantiles() -> None:
    assert quantile([0] * LATENCY_BUCKETS, 0.5) is None
    one_bucket = [0, 100] + [0] * (LATENCY_BUCKETS - 2)
    assert quantile(one_bucket, 0.5) == 1500
    assert quantile(one_bucket, 1.0) == 2000
    slow = [0] * (LATENCY_BUCKETS - 1) + [3]
    assert quantile(slow, 0.99) == LATENCY_BOUNDS_US[-1]
