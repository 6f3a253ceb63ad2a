"""What callers are told: fields of draft-ietf-httpapi-ratelimit-headers-11, the older ones, and a 429's facts."""

import pytest

from gateway.clock import DAY_US, MINUTE_US, SECOND_US
from gateway.quotas.answer import limit_fields, refusal_code, retry_after, violated_policies
from gateway.quotas.counter import Decision, LimitState
from gateway.quotas.limit import Algorithm, CalendarWindow, DurationWindow, Limit

BURST = Limit("burst", "calls", 600, DurationWindow(MINUTE_US), Algorithm.SLIDING, ("key",))
MONTHLY = Limit("monthly", "tokens", 10**16, CalendarWindow("month"), Algorithm.CALENDAR)
PARALLEL = Limit("parallel", "", 20, None, Algorithm.CONCURRENT)
SHADOW = Limit("quiet", "calls", 1, DurationWindow(MINUTE_US), Algorithm.SLIDING, mode="shadow")
SOFT = Limit("soft", "calls", 1, DurationWindow(MINUTE_US), Algorithm.SLIDING, mode="soft")
NOW = 20_000 * DAY_US

BURST_STATE = LimitState(BURST, 599, NOW + MINUTE_US, window_us=MINUTE_US)
MONTHLY_STATE = LimitState(MONTHLY, 10**16, NOW + 9 * DAY_US + 1, window_us=28 * DAY_US)
PARALLEL_STATE = LimitState(PARALLEL, 19, NOW)


def test_the_contracts_example():
    assert limit_fields((BURST_STATE,), NOW, "ietf") == [
        (b"RateLimit-Policy", b'"burst";q=600;w=60'),
        (b"RateLimit", b'"burst";r=599;t=60'),
    ]


def test_several_limits_stand_in_one_field_and_a_calendar_window_has_its_own_length():
    policy, state = limit_fields((BURST_STATE, MONTHLY_STATE, PARALLEL_STATE), NOW, "ietf")
    assert policy[1] == (
        b'"burst";q=600;w=60, "monthly";q=999999999999999;w=2419200;qu="tokens", '
        b'"parallel";q=20;qu="concurrent-requests"'
    )
    assert state[1] == b'"burst";r=599;t=60, "monthly";r=999999999999999;t=777601, "parallel";r=19'


def test_older_fields_show_the_tightest_limit():
    fields = dict(limit_fields((BURST_STATE, PARALLEL_STATE), NOW, "x-ratelimit"))
    assert fields == {b"X-RateLimit-Limit": b"20", b"X-RateLimit-Remaining": b"19", b"X-RateLimit-Reset": b"0"}
    both = limit_fields((BURST_STATE,), NOW, "both")
    assert [name for name, _ in both][:3] == [b"RateLimit-Policy", b"RateLimit", b"X-RateLimit-Limit"]


def test_older_fields_show_a_soft_limit_only_where_there_is_no_hard_one():
    soft = LimitState(SOFT, 0, NOW, True, NOW + 5, MINUTE_US)
    assert limit_fields((soft, BURST_STATE), NOW, "x-ratelimit")[0] == (b"X-RateLimit-Limit", b"600")
    assert limit_fields((soft,), NOW, "x-ratelimit")[0] == (b"X-RateLimit-Limit", b"1")


@pytest.mark.parametrize("style", ["ietf", "x-ratelimit", "both", "off"])
def test_nothing_is_said_about_no_limit_or_a_shadow_limit(style):
    assert limit_fields((), NOW, style) == []
    assert limit_fields((LimitState(SHADOW, 0, NOW, True, NOW + 5, MINUTE_US),), NOW, style) == []
    assert style != "off" or limit_fields((BURST_STATE,), NOW, style) == []


@pytest.mark.parametrize(("reset_us", "shown"), [(-5 * DAY_US, 0), (1, 1), (SECOND_US, 1), (DAY_US, 60)])
def test_no_negative_or_absurd_reset(reset_us, shown):
    state = LimitState(BURST, 0, NOW + reset_us, window_us=MINUTE_US)
    assert limit_fields((state,), NOW, "ietf")[1][1] == b'"burst";r=0;t=%d' % shown


def test_names_cannot_break_the_field():
    odd = Limit('a"b\\c\r\nX: é', "calls", 1, DurationWindow(MINUTE_US), Algorithm.SLIDING)
    fields = limit_fields((LimitState(odd, 1, NOW, window_us=MINUTE_US),), NOW, "ietf")
    assert fields[1][1] == b'"a\\"b\\\\c??X: ?";r=1;t=0'


def test_a_new_maximum_is_shown_though_the_name_is_the_same():
    for maximum in range(1, 50):
        limit = Limit("burst", "calls", maximum, DurationWindow(MINUTE_US), Algorithm.SLIDING)
        fields = limit_fields((LimitState(limit, 0, NOW, window_us=MINUTE_US),), NOW, "ietf")
        assert fields[0][1] == b'"burst";q=%d;w=60' % maximum


def refusal(*states: LimitState) -> Decision:
    return Decision(False, NOW, states)


@pytest.mark.parametrize(("wait_us", "seconds"), [(1, 1), (SECOND_US, 1), (SECOND_US + 1, 2), (DAY_US, 86400)])
def test_retry_after_is_rounded_up_and_at_least_one(wait_us, seconds):
    assert retry_after(refusal(BURST_STATE, LimitState(BURST, 0, NOW, True, NOW + wait_us))) == seconds


def test_only_hard_limits_refuse():
    states = (
        LimitState(SOFT, 0, NOW, True, NOW + DAY_US),
        LimitState(SHADOW, 0, NOW, True, -1),
        LimitState(BURST, 0, NOW, True, NOW + SECOND_US),
        LimitState(PARALLEL, 0, NOW, True, NOW + SECOND_US),
    )
    assert violated_policies(refusal(*states)) == ["burst", "parallel"]
    assert (retry_after(refusal(*states)), refusal_code(refusal(*states))) == (1, "limit_exceeded")


def test_a_cost_that_can_never_pass_has_no_retry_after():
    states = (LimitState(BURST, 0, NOW, True, -1), LimitState(PARALLEL, 0, NOW, True, NOW + SECOND_US))
    assert (retry_after(refusal(*states)), refusal_code(refusal(*states))) == (None, "cost_exceeds_limit")
