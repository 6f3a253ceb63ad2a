"""The store's time (SEMANTICS §1) as a pure function."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.clock import SECOND_US, ManualClock, SystemClock
from gateway.counters.clock import BootClock, advance, boot_id, rebase, store_clock


def test_follows_the_wall_clock():
    assert advance(100, 1_000, 1_000, 150, 1_050) == (150, 1_050, 1_050)


def test_a_forward_step_is_taken_at_once():
    assert advance(100, 1_000, 1_000, 101, 9_000_000)[2] == 9_000_000


@pytest.mark.parametrize(("elapsed_s", "expected_s"), [(0, 0), (10, 9), (99, 89.1), (100, 90), (101, 91)])
def test_after_a_backward_step_time_runs_at_nine_tenths_until_they_meet(elapsed_s, expected_s):
    back_s = 10
    _, _, now = advance(0, 0, 0, elapsed_s * SECOND_US, (elapsed_s - back_s) * SECOND_US)
    assert now == int(expected_s * SECOND_US)


def test_many_small_steps_are_as_exact_as_one():
    reading, wall = (0, 1_000_000, 1_000_000), 0
    for mono in range(0, 10_000, 3):
        reading = advance(*reading, mono, wall + mono)
    assert reading[2] == 1_000_000 + 9_999 * 9 // 10


@given(st.lists(st.tuples(st.integers(0, 10**9), st.integers(-(10**9), 10**9), st.booleans()), max_size=60))
def test_never_goes_back_nor_runs_behind_the_wall(steps):
    mono, offset, reading = 0, 10**12, rebase(0, 0, 10**12)
    for elapsed, step, boots in steps:
        mono, offset = mono + elapsed, offset + step
        before = reading[2]
        if boots:
            mono = 0
            reading = rebase(before, mono, max(0, mono + offset))
        else:
            reading = advance(*reading, mono, max(0, mono + offset))
        assert reading[2] >= max(before, mono + offset)


def test_every_process_reads_the_same_monotonic_clock():
    manual = ManualClock(5)
    assert store_clock(manual) is manual
    assert isinstance(store_clock(SystemClock()), BootClock)
    assert BootClock().monotonic() <= BootClock().monotonic()
    assert abs(BootClock().now() - SystemClock().now()) < 60 * SECOND_US
    assert len(boot_id()) == 16
