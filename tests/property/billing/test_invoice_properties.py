"""What must hold for every series of bills and every invoice."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.billing.bill import Invoiced, correction_line
from gateway.billing.invoice import totals_of
from gateway.billing.line import Line
from gateway.billing.periods import Schedule, served
from gateway.billing.proration import Share
from gateway.billing.rating import rate
from gateway.billing.tax import TaxRate, TaxRules
from gateway.config.price_schema import parse_price
from gateway.money import Money
from gateway.period import Period, from_us

quick = settings(max_examples=100, deadline=None, print_blob=True)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PERIOD = Period(from_us(0), from_us(31 * 86_400_000_000))
ZONES = st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kathmandu", "America/Sao_Paulo", "Pacific/Apia"])
moments = st.datetimes(datetime(2015, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))
PRICES = [
    {"type": "volume", "tiers": [{"up_to": 15, "unit": 10}, {"unit": "5.333"}]},
    {"type": "graduated", "tiers": [{"up_to": 10, "unit": "0.015"}, {"flat": 3, "unit": "0.001"}], "minimum": 1},
    {"type": "package", "size": 7, "amount": "1.005", "free": 3, "discount": {"percent": "33.333"}},
]


@quick
@given(st.sampled_from(PRICES), st.lists(st.integers(-20, 40), max_size=6))
def test_invoice_and_corrections_add_up_to_the_whole(document: dict[str, Any], late: list[int]) -> None:
    """However late usage trickles in, or is taken back, the period ends up at what its total costs."""
    price, total = parse_price(document), Decimal(12)
    amount = rate(price, total, "USD").amount.amount
    for more in late:
        now = max(Decimal(0), total + more)
        line = correction_line(price, "USD", PERIOD, Invoiced(total, amount), now)
        assert (line is None) == (now == total)
        if line is not None:
            amount, total = amount + line.amount.amount, now
    assert amount == rate(price, total, "USD").amount.amount


@quick
@given(
    st.lists(st.decimals(-100, 1000, places=2), max_size=6),
    st.lists(st.decimals(0, 30, places=3), max_size=3),
    st.booleans(),
    st.sampled_from(["line", "invoice"]),
    st.sampled_from(["tax", "net"]),
    st.randoms(use_true_random=False),
)
def test_totals_add_up_and_do_not_depend_on_order(
    amounts: list[Decimal], percents: list[Decimal], inclusive: bool, per: Any, round_of: Any, random: Any
) -> None:
    lines = [Line("fee", str(index), amount, Money(amount, "USD")) for index, amount in enumerate(amounts)]
    rates = tuple(TaxRate(str(index), percent) for index, percent in enumerate(percents))
    rules = TaxRules(rates, inclusive, per, round_of)
    totals = totals_of(lines, "USD", rules, (), NOW)
    random.shuffle(lines)
    assert totals_of(lines, "USD", rules, (), NOW) == totals
    assert totals.total == (totals.subtotal if inclusive else totals.subtotal + totals.tax)
    assert totals.due - totals.carried == totals.total
    assert totals.total.rounded() == totals.total


@quick
@given(ZONES, st.dates(datetime(2015, 1, 1).date(), datetime(2029, 12, 31).date()), moments, st.integers(1, 500))
def test_months_have_no_gap_and_no_overlap(zone: str, anchor: Any, start: datetime, days: int) -> None:
    schedule = Schedule(anchor, ZoneInfo(zone))
    end = start + timedelta(days=days)
    months = list(schedule.months(start, end))
    assert months[0].contains(start)
    assert months[-1].start < end <= months[-1].end
    for one, other in pairwise(months):
        assert one.end == other.start
    for month in months:
        year = schedule.year(month.start)
        assert year.start <= month.start < month.end <= year.end


@quick
@given(moments, st.lists(st.integers(1, 40 * 86400), min_size=1, max_size=5))
def test_the_parts_of_a_period_make_the_whole(start: datetime, cuts: list[int]) -> None:
    """Plan after plan in one month: their shares add up to it, with nothing counted twice."""
    zone = ZoneInfo("Europe/Berlin")
    month = Schedule(start.date(), zone).month(start)
    bounds = [
        month.start,
        *sorted(month.start + timedelta(seconds=cut) for cut in cuts),
        month.end + timedelta(days=99),
    ]
    shares = [served(month, one, other, zone) for one, other in pairwise(bounds)]
    full = [Share(month.seconds, month.seconds) if share == Share(1, 1) else share for share in shares]
    assert sum(share.part for share in full) == month.seconds
