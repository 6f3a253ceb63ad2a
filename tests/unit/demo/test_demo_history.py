"""The demo's past: the month's goal is met on any date, the same seed makes the same, every record is sound."""

from collections import Counter
from datetime import UTC, datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from gateway.clock import DAY_US
from gateway.demo.history import calls_of, plan_slots, scattered
from gateway.demo.stories import Story
from gateway.ids import uuid7_time_us
from gateway.metering.record import CallRecord, decode, encode
from gateway.period import calendar_period, from_us, to_us
from gateway.storage.batch import fault_of

NEW_YORK = ZoneInfo("America/New_York")
MOMENTS = (
    datetime(2026, 11, 20, 13, 0, tzinfo=UTC),
    datetime(2026, 11, 1, 4, 0, 1, tzinfo=UTC),  # one second into the month in New York
    datetime(2026, 3, 8, 7, 30, tzinfo=UTC),  # a day of 23 hours
    datetime(2028, 2, 29, 23, 59, 59, tzinfo=UTC),
    datetime(2027, 1, 1, 5, 0, 0, 1, tzinfo=UTC),  # one microsecond into the year in New York
)


def story(monthly: int | None = None) -> Story:
    return Story("acme", "0123456789ab", NEW_YORK, ("k1", "k2"), daily=120, monthly=monthly)


def history(end_us: int, this_month: int | None, seed: int = 1) -> list[CallRecord]:
    one = story(this_month)
    return list(calls_of(one, plan_slots(one, end_us - 90 * DAY_US, end_us, this_month), seed))


@pytest.mark.parametrize("moment", MOMENTS, ids=str)
def test_the_month_ends_up_with_exactly_its_goal(moment: datetime) -> None:
    end_us = to_us(moment)
    month = calendar_period(from_us(end_us - 1), "month", NEW_YORK)
    records = history(end_us, 1640)
    counted = [record for record in records if record.counted and record.at_us >= to_us(month.start)]
    assert sum(record.quota_units["calls"] for record in counted) == 1640
    assert all(end_us - 90 * DAY_US <= record.at_us < end_us for record in records)


def test_days_without_a_goal_have_their_usual_number() -> None:
    records = history(to_us(MOMENTS[0]), None)
    assert sum(record.counted for record in records) == 90 * 120


def test_the_same_seed_makes_the_same_history() -> None:
    first, second, other = (history(to_us(MOMENTS[0]), 50, seed) for seed in (1, 1, 2))
    assert [encode(record) for record in first] == [encode(record) for record in second]
    assert first[0].id != other[0].id


def test_records_are_what_the_ledger_takes() -> None:
    records = history(to_us(MOMENTS[0]), 900)
    assert len({record.id for record in records}) == len(records)
    for earlier, later in pairwise(records):
        assert earlier.at_us <= later.at_us
    for record in records:
        assert decode(encode(record)) == record
        assert fault_of(record) == ""
        assert uuid7_time_us(record.id) == record.at_us // 1000 * 1000
        assert record.id[6] >> 4 == 7
        assert record.id[8] >> 6 == 0b10
        assert record.counted == record.billable == (record.status < 500)
        assert record.quota_units == (record.units if record.counted else {})


def test_there_is_a_rhythm_and_there_are_errors() -> None:
    records = history(to_us(MOMENTS[0]), None)
    hours = Counter(from_us(record.at_us).astimezone(NEW_YORK).hour for record in records)
    assert hours[15] > 5 * hours[3]
    classes = Counter(record.status // 100 for record in records)
    assert set(classes) == {2, 4, 5}
    assert classes[2] > 0.9 * len(records)
    assert {record.route for record in records} == {"weather", "messages", "chat"}
    assert all(record.units["tokens"] for record in records if record.route == "chat" and record.status == 200)


def test_scattered_calls_lie_within_their_span() -> None:
    end_us = to_us(MOMENTS[0])
    records = list(scattered(story(), end_us - DAY_US, end_us, 7, seed=3))
    assert len(records) == 7
    assert all(end_us - DAY_US <= record.at_us < end_us for record in records)
