"""The pure parts: formats, charts, forecasts, limits, throttling."""

from decimal import Decimal

import pytest

from gateway.accounts.secret_file import load_secret
from gateway.accounts.throttle import MAX_ENTRIES, Throttle
from gateway.clock import DAY_US, HOUR_US, MINUTE_US, SECOND_US
from gateway.ui import formats
from gateway.ui.charts import Point, bar_chart, nice_ceiling
from gateway.ui.forecast import Forecast, forecast
from gateway.ui.limits import FULLEST, arrange, to_bar
from gateway.ui.services import LimitUse


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (999, "999"), (1000, "1k"), (1234, "1.23k"), (12345, "12.3k"), (999_999, "999k"), (4_560_000, "4.56M")],
)
def test_compact(value, text):
    assert formats.compact(value) == text


@pytest.mark.parametrize(
    ("delta", "text"),
    [(0, "just now"), (5, "5 s ago"), (59, "59 s ago"), (61, "1 min ago"), (7200, "2 h ago"), (-86400 * 3, "in 3 d")],
)
def test_ago(delta, text):
    assert formats.ago(10**15, 10**15 + delta * SECOND_US) == text


def test_money_keeps_the_digits_it_is_given():
    assert formats.money(Decimal("1234.50"), "USD") == "$1,234.50"
    assert formats.money(Decimal("0.005"), "KWD") == "0.005 KWD"
    assert formats.money(Decimal("-3"), "EUR") == "−€3"


@pytest.mark.parametrize(
    ("part", "whole", "text"), [(0, 0, "0 %"), (9996, 10000, "99 %"), (5, 1000, "0.5 %"), (1, 1, "100 %")]
)
def test_percent_never_rounds_up(part, whole, text):
    assert formats.percent(part, whole) == text


@pytest.mark.parametrize(("value", "top"), [(0, 2), (1, 2), (3, 4), (11, 20), (100, 100), (101, 200), (4001, 6000)])
def test_the_axis_ends_at_a_round_number_whose_half_is_whole(value, top):
    assert nice_ceiling(value) == top


def test_bars_stay_inside_the_plot_and_a_single_call_is_seen():
    chart = bar_chart("c", "t", [Point(str(n), str(n), n * 10, n) for n in range(30)] + [Point("x", "x", 1)])
    for bar in chart.bars:
        assert 0 <= bar.bad_y <= bar.good_y <= 100
    assert chart.bars[-1].good_height > 1
    assert bar_chart("c", "t", []).empty


def test_a_forecast_is_a_straight_line():
    month = 30 * DAY_US
    assert forecast(500, 1000, 0, month, month // 4) == Forecast(2000, month // 2)
    assert forecast(100, 1000, 0, month, month // 4) == Forecast(400, None)
    assert forecast(5, 10, 0, month, HOUR_US) is None  # too young to say
    assert forecast(0, 10, 0, month, month // 2) is None
    assert forecast(5, 10, 0, month, month) is None


@pytest.mark.parametrize(
    ("used", "maximum", "level", "fill"),
    [
        (0, 10, "calm", 0),
        (799, 1000, "calm", 799),
        (8, 10, "near", 800),
        (10, 10, "full", 1000),
        (99, 10, "full", 1000),
        (0, 0, "full", 1000),
    ],
)
def test_bars_warn_from_80_percent(used, maximum, level, fill):
    bar = to_bar(LimitUse("l", "calls", used, maximum, "per day", DAY_US, "hard", "tenant", 0), HOUR_US)
    assert (bar.level, bar.fill) == (level, fill)


def test_a_throttle_leaks_and_forgets_the_oldest():
    throttle = Throttle(2, MINUTE_US)
    for _ in range(2):
        assert throttle.wait_us("a", 0) == 0
        throttle.failed("a", 0)
    assert throttle.wait_us("a", 0) == MINUTE_US
    assert throttle.wait_us("a", MINUTE_US) == 0
    for n in range(MAX_ENTRIES):
        throttle.failed(str(n), 0)
    assert throttle.wait_us("a", 0) == 0


def test_the_secret_is_made_once_for_its_owner_alone(tmp_path):
    secret = load_secret(tmp_path)
    assert load_secret(tmp_path) == secret
    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]
    assert load_secret(tmp_path, "x" * 32) == b"x" * 32
    with pytest.raises(Exception, match="shorter than 32"):
        load_secret(tmp_path, "short")


def test_a_hundred_keys_do_not_flood_the_page():
    uses = [LimitUse("burst", "calls", n, 100, "per minute", None, "hard", f"key k{n}") for n in range(100)]
    uses.append(LimitUse("monthly", "calls", 1, 100, "per month", None, "hard", "tenant"))
    bars = arrange([to_bar(use, 0) for use in uses])
    assert [bar.name for bar in bars] == ["monthly"] + ["burst"] * FULLEST
    assert [bar.used for bar in bars[1:]] == [99, 98, 97, 96]
    assert bars[-1].fewer == 100 - FULLEST


def test_a_rolling_window_that_is_empty_has_no_reset():
    assert to_bar(LimitUse("l", "calls", 0, 9, "per minute", 60, "hard", "tenant"), 0).reset_us is None
    assert to_bar(LimitUse("l", "calls", 0, 9, "per day", 60, "hard", "tenant", 0), 0).reset_us == 60
