"""Subscriptions, periods and changes: the tables and what time demands."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from gateway.billing.change import plan_change
from gateway.billing.periods import Schedule, served
from gateway.billing.proration import FULL, Share, share_from
from gateway.billing.subscription import (
    SERVED,
    TRANSITIONS,
    State,
    Subscription,
    TransitionError,
    Trigger,
    due,
    settle,
    transition,
)
from gateway.money import Money
from gateway.period import Period

START = datetime(2026, 1, 31, tzinfo=UTC)
ZONE = ZoneInfo("UTC")
BERLIN = ZoneInfo("Europe/Berlin")
WEEK = timedelta(days=7)


def subscription(**fields: object) -> Subscription:
    base = Subscription("sub_1", "acme", "pro", "v1", "month", Schedule(date(2026, 1, 31), ZONE), START)
    return Subscription(**{name: fields.get(name, getattr(base, name)) for name in base.__slots__})  # type: ignore[arg-type]


def test_every_pair_is_in_the_table_or_refused() -> None:
    for state in State:
        for trigger in Trigger:
            if (state, trigger) in TRANSITIONS:
                assert transition(state, trigger) is TRANSITIONS[state, trigger]
            else:
                with pytest.raises(TransitionError):
                    transition(state, trigger)


def test_canceled_is_final_and_reachable_from_everywhere() -> None:
    assert not [pair for pair in TRANSITIONS if pair[0] is State.CANCELED]
    assert all((state, Trigger.CANCEL) in TRANSITIONS for state in State if state is not State.CANCELED)
    assert State.SUSPENDED not in SERVED


def test_a_trial_becomes_active_and_debt_suspends_and_payment_opens() -> None:
    trial = subscription(trial_end=START + 2 * WEEK)
    now, told = settle(trial, START, None, WEEK)
    assert (now.state, told) == (State.TRIALING, (Trigger.START_TRIAL,))
    now, told = settle(now, START + 2 * WEEK, None, WEEK)
    assert (now.state, told) == (State.ACTIVE, (Trigger.END_TRIAL,))
    overdue = START + 6 * WEEK
    now, told = settle(now, overdue, overdue, WEEK)
    assert (now.state, told) == (State.PAST_DUE, (Trigger.OVERDUE,))
    assert due(now, overdue + WEEK - timedelta(microseconds=1), overdue, WEEK) is None
    now, told = settle(now, overdue + WEEK, overdue, WEEK)
    assert (now.state, told) == (State.SUSPENDED, (Trigger.SUSPEND,))
    now, told = settle(now, overdue + WEEK, None, WEEK)
    assert (now.state, told) == (State.ACTIVE, (Trigger.PAID,))


def test_a_job_that_slept_catches_up_and_a_second_run_changes_nothing() -> None:
    late, told = settle(subscription(trial_end=START + WEEK), START + 9 * WEEK, START + 4 * WEEK, WEEK)
    assert late.state is State.SUSPENDED
    assert told == (Trigger.START_TRIAL, Trigger.END_TRIAL, Trigger.OVERDUE, Trigger.SUSPEND)
    assert settle(late, START + 9 * WEEK, START + 4 * WEEK, WEEK) == (late, ())


def test_cancellation_at_the_end_waits_for_it() -> None:
    ending = subscription(state=State.ACTIVE, cancel_at=START + WEEK)
    assert due(ending, START, None, WEEK) is None
    assert settle(ending, START + WEEK, START, WEEK)[0].state is State.CANCELED
    assert due(subscription(state=State.PAUSED), START + 9 * WEEK, START, WEEK) is None


def test_a_pinned_version_stays() -> None:
    assert subscription().renewed("v2").version == "v2"
    assert subscription(pinned=True).renewed("v2").version == "v1"


@pytest.mark.parametrize("zone", [ZONE, BERLIN, ZoneInfo("Asia/Kathmandu"), ZoneInfo("America/Sao_Paulo")])
def test_months_follow_one_another_and_years_are_twelve_of_them(zone: ZoneInfo) -> None:
    schedule = Schedule(date(2024, 1, 31), zone)
    end = datetime(2028, 1, 15, tzinfo=UTC)
    months = list(schedule.months(datetime(2024, 3, 10, tzinfo=UTC), end))
    assert all(one.end == other.start for one, other in pairwise(months))
    assert months[-1].contains(end - timedelta(microseconds=1))
    assert [month.start.astimezone(zone).day for month in months[:4]] == [29, 31, 30, 31]
    renewals = [index for index, month in enumerate(months) if schedule.renews(month)]
    assert renewals == list(range(renewals[0], len(months), 12))


def test_alignment() -> None:
    start = datetime(2026, 5, 17, 23, 30, tzinfo=UTC)
    assert Schedule.of(start, "anniversary", BERLIN).anchor == date(2026, 5, 18)
    assert Schedule.of(start, "calendar", BERLIN).month(start).start == datetime(2026, 4, 30, 22, tzinfo=UTC)


def test_the_day_counts_as_left_by_day_and_not_by_second() -> None:
    march = Period(datetime(2026, 2, 28, 23, tzinfo=UTC), datetime(2026, 3, 31, 22, tzinfo=UTC))  # Berlin, with DST
    noon = datetime(2026, 3, 15, 11, tzinfo=UTC)
    assert share_from(march, noon, BERLIN, "day") == Share(17, 31)
    assert share_from(march, noon, BERLIN) == Share(16 * 86400 + 39600, 31 * 86400 - 3600)
    assert share_from(march, march.start - WEEK, BERLIN) == Share(march.seconds, march.seconds)
    assert share_from(march, march.end, BERLIN, "day") == Share(0, 31)


def test_served_part_of_a_period() -> None:
    month = Period(datetime(2026, 4, 1, tzinfo=UTC), datetime(2026, 5, 1, tzinfo=UTC))
    tenth, twentieth = datetime(2026, 4, 10, tzinfo=UTC), datetime(2026, 4, 20, tzinfo=UTC)
    assert served(month, month.start, None, ZONE) is FULL
    assert served(month, tenth, None, ZONE, "day") == Share(21, 30)
    assert served(month, month.start - WEEK, twentieth, ZONE, "day") == Share(19, 30)
    assert served(month, tenth, twentieth, ZONE, "day") == Share(10, 30)
    assert served(month, month.end + WEEK, None, ZONE, "day") == Share(0, 30)


def test_a_change_now_later_or_at_the_end() -> None:
    month = Period(datetime(2026, 4, 1, tzinfo=UTC), datetime(2026, 5, 1, tzinfo=UTC))
    at, charged = datetime(2026, 4, 16, tzinfo=UTC), Money.of(10, "USD")

    def change(when: str) -> tuple[list[str], bool, str]:
        found = plan_change(
            charged, Decimal(20), month, at, ZONE, when=when, old_name="basic", new_name="pro"  # type: ignore[arg-type]
        )  # fmt: skip
        return [str(line.amount) for line in found.lines], found.invoice_now, str(found.net)

    assert change("now") == (["-5.00 USD", "10.00 USD"], True, "5.00 USD")
    assert change("next_invoice") == (["-5.00 USD", "10.00 USD"], False, "5.00 USD")
    assert change("period_end") == ([], False, "0.00 USD")


@pytest.mark.parametrize(("part", "whole"), [(-1, 2), (3, 2), (0, 0)])
def test_no_share(part: int, whole: int) -> None:
    with pytest.raises(ValueError, match="no share"):
        Share(part, whole)
