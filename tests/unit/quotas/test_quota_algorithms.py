"""The pure steps, at the places where their definitions are easy to get wrong."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.clock import MINUTE_US, SECOND_US
from gateway.quotas import bucket, calendar, concurrent, sliding
from gateway.quotas.counter import Bounds, Counter
from gateway.quotas.limit import Algorithm, Limit

LIMIT = Limit("l", "calls", 1, None, Algorithm.CALENDAR)


def counter(algorithm: Algorithm, maximum: int, window_us: int = 0, burst: int = 0, bounds: Bounds | None = None):
    return Counter(bytes(16), algorithm, maximum, window_us, burst, bounds, False, LIMIT)


@given(st.integers(1, 10**9), st.lists(st.integers(0, 10**9), min_size=1, max_size=40), st.integers(1, 8))
def test_a_sliding_window_never_admits_more_in_any_real_window(window_us, gaps, maximum):
    rule, words, cells, now = counter(Algorithm.SLIDING, maximum, window_us), (0, 0, 0, 0), [0] * 61, 0
    passed = []
    for gap in gaps:
        now += gap % (window_us // 3 + 1)
        index = sliding.index_at(window_us, now)
        if index > words[0]:
            words, writes = sliding.advance(words, cells, index)
            for cell, units in writes:
                cells[cell] = units
        after, _, fits, _ = sliding.take(words, rule, 1, now)
        if fits:
            words = after
            passed.append(now)
            assert sum(when > now - window_us for when in passed) <= maximum
        else:  # refused only while the sixty-one sub-buckets are full, so at most a sixtieth too long
            assert sum(when > now - window_us - -(-window_us // 60) - 1 for when in passed) >= maximum


@given(st.integers(1, 10**12), st.integers(0, 10**16))
def test_a_sub_bucket_leaves_at_the_first_instant_that_no_longer_counts_it(window_us, at_us):
    index = sliding.index_at(window_us, at_us)
    leaves = sliding.leaves_at(window_us, index)
    assert sliding.index_at(window_us, leaves) - 60 > index
    assert sliding.index_at(window_us, leaves - 1) - 60 <= index
    assert 0 <= leaves - at_us - window_us <= -(-window_us // 60) + 1


def test_advancing_drops_what_leaves_and_nothing_else():
    words, cells = (100, 0, 0, 9), [0] * 61
    rule = counter(Algorithm.SLIDING, 10, 60 * SECOND_US)
    words = sliding.take(words, rule, 4, 100 * SECOND_US)[0]
    for index, total in [(101, 4), (160, 4), (161, 0), (300, 0)]:
        later, writes = sliding.advance(words, cells, index)
        assert (later[0], later[1], later[2], later[3]) == (index, total, 0, 9)
        assert all(0 <= cell < 61 for cell, _ in writes)


def test_a_window_beyond_the_two_given_goes_on_at_their_length():
    bounds = Bounds(1000, 1100, 1300)
    expected = {999: (900, 1000), 1000: (1000, 1100), 1100: (1100, 1300), 1300: (1300, 1500), 1999: (1900, 2100)}
    assert {at: calendar.window_at(bounds, at) for at in expected} == expected


@pytest.mark.parametrize(("delta", "used"), [(5, 8), (-2, 1), (-9, 0)])
def test_a_calendar_count_is_never_negative(delta, used):
    rule = counter(Algorithm.CALENDAR, 10, bounds=Bounds(0, 100, 200))
    assert calendar.give((0, 100, 3, 0), rule, delta, 50, 60) == (0, 100, used, 0)
    assert calendar.give((0, 100, 3, 0), rule, delta, 100, 160) is None


@given(
    st.integers(1, 10**9),
    st.integers(1, 10**9),
    st.integers(1, 366 * 86_400 * SECOND_US),
    st.lists(st.tuples(st.integers(0, 10**12), st.integers(0, 10**9)), max_size=20),
)
def test_a_bucket_is_exact_in_whole_numbers(rate, burst, window_us, calls):
    rule, words, now, level = counter(Algorithm.BUCKET, rate, window_us, burst), (0, 0, 0, 0), 0, Fraction(0)
    for gap, cost in calls:
        now += gap
        level = max(Fraction(0), level - Fraction(rate * gap, window_us))
        after, room, fits, empty_us = bucket.take(words, rule, cost, now)
        assert fits == (cost == 0 or level + cost <= burst)
        assert room == (burst - level).__floor__()
        if not fits:
            retry_us = bucket.retry(words, rule, cost, now)
            assert (retry_us == -1) == (cost > burst)
            if retry_us >= 0:
                assert bucket.take(words, rule, cost, retry_us)[2]
                assert not bucket.take(words, rule, cost, retry_us - 1)[2]
            words = bucket.take(words, rule, 0, now)[0]
        else:
            words, level = after, level + cost
            assert empty_us == min(now + (level * window_us / rate).__ceil__(), (1 << 62) - 1)
        assert all(0 <= word < 1 << 63 for word in words)


def test_a_bucket_gives_back_only_what_has_not_drained():
    rule = counter(Algorithm.BUCKET, 60, MINUTE_US, 10)  # one a second
    words = bucket.take((0, 0, 0, 0), rule, 4, 0)[0]
    words = bucket.take(words, rule, 5, 3 * SECOND_US)[0]  # 1 + 5
    words = bucket.give(words, rule, -4, 0, 3 * SECOND_US)
    assert bucket.take(words, rule, 0, 3 * SECOND_US)[1] == 5


def test_concurrency_holds_until_given_back():
    rule = counter(Algorithm.CONCURRENT, 2)
    words = concurrent.take((0, 0, 0, 0), rule, 1, 5)[0]
    words, room, fits, _ = concurrent.take(words, rule, 1, 6)
    assert (room, fits) == (1, True)
    assert not concurrent.take(words, rule, 1, 10**15)[2]
    assert concurrent.give(words, rule, -1, 5, 7) == (1, 7, 0, 0)


@pytest.mark.parametrize("take", [calendar.take, sliding.take, bucket.take, concurrent.take])
def test_a_call_that_costs_nothing_needs_no_room(take):
    rule = counter(Algorithm.CALENDAR, 0, MINUTE_US, 0, Bounds(0, 100, 200))
    assert take((0, 100, 5, 0), rule, 0, 50)[2]
