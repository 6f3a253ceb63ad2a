"""A target's standing: every transition, the pauses, and the one probe."""

import pytest

from gateway.routing.route import Ejection
from gateway.routing.standing import TRANSITIONS, Conduct, Standing, Trigger

SECOND = 1_000_000


def conduct(*, checked=False):
    return Conduct(Ejection(failures=3, pause_us=SECOND), checked=checked)


def test_failures_in_a_row_eject_and_an_answer_between_them_does_not():
    one = conduct()
    assert [
        one.failed(0, one.term),
        one.failed(0, one.term),
        one.succeeded(one.term),
        one.failed(0, one.term),
        one.failed(0, one.term),
    ] == [False] * 5
    assert one.admits(0)
    assert one.failed(0, one.term)
    assert not one.admits(SECOND - 1)


def test_one_probe_at_a_time_decides():
    one = conduct()
    for _ in range(3):
        one.failed(0, one.term)
    assert one.admits(SECOND)
    one.given()
    assert not one.admits(SECOND)
    one.returned(one.term)  # its client left: it told nothing
    assert one.admits(SECOND)
    one.given()
    assert one.failed(SECOND, one.term)
    one.returned(one.term)
    assert not one.admits(3 * SECOND - 1)  # the pause doubled
    assert one.admits(3 * SECOND)
    one.given()
    assert one.succeeded(one.term)
    assert one.standing is Standing.IN
    for _ in range(3):
        one.failed(0, one.term)
    assert one.admits(SECOND)  # and began anew


def test_a_late_answer_of_an_ejected_target_does_not_bring_it_back():
    one = conduct()
    for _ in range(3):
        one.failed(0, one.term)
    assert not one.succeeded(one.term)
    assert not one.admits(0)


def test_calls_from_before_an_ejection_decide_nothing_after_it():
    one = conduct()
    before = one.term
    for _ in range(3):
        one.failed(0, before)
    assert one.admits(SECOND)
    one.given()
    one.returned(before)
    assert not one.admits(SECOND)  # the probe is still out
    assert not one.failed(SECOND, before)
    assert not one.succeeded(before)
    assert one.succeeded(one.term)
    for _ in range(3):
        assert not one.failed(SECOND, before)
    assert one.standing is Standing.IN


def test_a_checked_target_comes_back_by_a_check_only():
    one = conduct(checked=True)
    assert not one.check_failed(0, 2)
    assert not one.check_succeeded()
    assert not one.check_failed(0, 2)
    assert one.check_failed(0, 2)
    assert not one.admits(10**12)
    assert one.check_succeeded()
    assert one.admits(0)
    for _ in range(3):
        one.failed(0, one.term)
    assert not one.admits(10**12)


def test_pauses_are_bounded():
    one, now = conduct(), 0
    for _ in range(3):
        one.failed(now, one.term)
    for _ in range(40):
        now += 300 * SECOND
        assert one.admits(now)
        one.given()
        one.failed(now, one.term)
        one.returned(one.term)


@pytest.mark.parametrize("standing", Standing)
@pytest.mark.parametrize("trigger", Trigger)
def test_the_table_leads_only_to_standings(standing, trigger):
    assert TRANSITIONS.get((standing, trigger), standing) in Standing
