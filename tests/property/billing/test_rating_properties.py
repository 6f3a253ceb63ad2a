"""What must hold for every price and quantity."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.billing.canonical import price_document
from gateway.billing.proration import Share, change_lines, prorated
from gateway.billing.rating import rate
from gateway.config.price_schema import parse_price
from gateway.money import EXACT, Money, round_amount
from gateway.period import Period, from_us

quick = settings(max_examples=120, deadline=None, print_blob=True)

PERIOD = Period(from_us(0), from_us(31 * 86_400_000_000))

numbers = st.decimals(0, 1000, places=4).map(lambda value: f"{value:f}")
positive = st.decimals("0.01", 1000, places=2).map(lambda value: f"{value:f}")
quantities = st.one_of(st.integers(0, 5000), st.decimals(0, 5000, places=3).map(lambda value: Decimal(f"{value:f}")))


@st.composite
def tiers(draw: Any, unit: str = "unit", *, plain: bool = False) -> list[dict[str, Any]]:
    bounds = sorted(draw(st.sets(st.integers(1, 3000), max_size=3)))
    found: list[dict[str, Any]] = []
    for bound in (*bounds, None):
        tier: dict[str, Any] = {unit: draw(numbers)}
        if not plain:
            tier["flat"] = draw(numbers)
            if unit == "unit":
                tier["size"] = draw(st.one_of(st.none(), positive))
        if bound is not None:
            tier["up_to"] = bound
        found.append(tier)
    if not plain:
        found[0]["at_zero"] = draw(st.booleans())
    return found


graduated = st.fixed_dictionaries({"type": st.just("graduated"), "tiers": tiers()})
packages = st.fixed_dictionaries(
    {"type": st.just("package"), "size": positive, "amount": numbers, "free": numbers},
    optional={"round": st.sampled_from(["up", "down"])},
)
percentages = st.one_of(
    st.fixed_dictionaries({"type": st.just("percentage"), "percent": numbers, "fixed": numbers, "free_units": numbers}),
    st.fixed_dictionaries({"type": st.just("percentage"), "tiers": tiers("percent"), "fixed": numbers}),
)
stairs = tiers("flat", plain=True).map(lambda found: {"type": "stairstep", "tiers": found})
volume = st.fixed_dictionaries({"type": st.just("volume"), "tiers": tiers()})
flat = st.fixed_dictionaries({"type": st.just("flat"), "amount": numbers})
per_unit = st.fixed_dictionaries({"type": st.just("per_unit"), "unit": numbers})

rising = st.one_of(flat, per_unit, graduated, packages, percentages)
"""Models whose cost never falls when the quantity grows."""

modifiers = st.fixed_dictionaries(
    {},
    optional={
        "convert": st.fixed_dictionaries(
            {"divide_by": positive, "round": st.sampled_from(["up", "down", "half_up", "none"])}
        ),
        "included": numbers,
        "discount": st.one_of(
            st.fixed_dictionaries({"percent": st.decimals(0, 100, places=3).map(lambda value: f"{value:f}")}),
            st.fixed_dictionaries({"amount": numbers}),
        ),
        "minimum": st.decimals(0, 100, places=3).map(lambda value: f"{value:f}"),
        "maximum": st.decimals(100, 100_000, places=3).map(lambda value: f"{value:f}"),
        "currency": st.sampled_from(["USD", "JPY", "KWD"]),
    },
)


def with_modifiers(models: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.tuples(models, modifiers).map(lambda pair: pair[0] | pair[1])


def exact_sum(parts: Iterable[Decimal]) -> Decimal:
    """Python's own context would round to 28 digits."""
    total = Decimal(0)
    for part in parts:
        total = EXACT.add(total, part)
    return total


any_price = with_modifiers(st.one_of(rising, stairs, volume))


@quick
@given(any_price, st.lists(quantities.filter(bool), min_size=1, max_size=5))
def test_parts_of_a_split_period_add_up_to_the_whole(document: dict[str, Any], parts: list[Any]) -> None:
    """Split invariance: whatever the cuts, the bills add up to the bill of the whole, to the cent."""
    price = parse_price(document)
    before, exact, amount = Decimal(0), Decimal(0), Decimal(0)
    for part in parts:
        old = int(before > 0)  # one event in all, in the first part
        delta = rate(price, part, "USD", billed_quantity=before, events=1 - old, billed_events=old)
        exact = exact_sum((exact, delta.exact))
        amount, before = amount + delta.amount.amount, before + part
    whole = rate(price, before, "USD")
    assert amount == whole.amount.amount
    assert exact == whole.exact


@quick
@given(any_price, quantities, quantities)
def test_lines_add_up_and_answers_repeat(document: dict[str, Any], quantity: Any, billed: Any) -> None:
    price = parse_price(document)
    result = rate(price, quantity, "USD", billed_quantity=billed)
    assert sum((line.amount.amount for line in result.lines), Decimal(0)) == result.amount.amount
    assert exact_sum(line.exact for line in result.lines) == result.exact
    assert round_amount(result.amount.amount, result.currency) == result.amount.amount
    assert rate(parse_price(price_document(price)), quantity, "USD", billed_quantity=billed) == result


@quick
@given(any_price, quantities)
def test_rounded_is_within_half_a_minor_unit_of_exact(document: dict[str, Any], quantity: Any) -> None:
    result = rate(parse_price(document), quantity, "USD")
    half = Money.from_minor(1, result.currency).amount / 2
    assert abs(result.amount.amount - result.exact) <= half


@quick
@given(with_modifiers(rising), quantities, quantities)
def test_more_never_costs_less(document: dict[str, Any], quantity: Any, more: Any) -> None:
    assert rate(parse_price(document), more, "USD", billed_quantity=quantity).exact >= 0


@quick
@given(tiers(plain=True), st.integers(1, 3000))
def test_graduated_tiers_without_flats_are_continuous(found: list[dict[str, Any]], quantity: int) -> None:
    """A step of ε costs at most ε at the dearest unit price, also over a boundary."""
    price = parse_price({"type": "graduated", "tiers": found})
    epsilon = Decimal("0.001")
    step = rate(price, epsilon, "USD", billed_quantity=quantity).exact
    assert 0 <= step <= epsilon * max(Decimal(tier["unit"]) for tier in found)


@quick
@given(tiers(), st.integers(0, 2))
def test_volume_at_a_bound_is_the_tier_below(found: list[dict[str, Any]], index: int) -> None:
    bounds = [tier["up_to"] for tier in found if "up_to" in tier]
    if index < len(bounds):
        only = {"type": "volume", "tiers": [{key: found[index].get(key) for key in ("flat", "size")}]}
        only["tiers"][0]["unit"] = found[index]["unit"]
        whole = rate(parse_price({"type": "volume", "tiers": found}), bounds[index], "USD")
        assert whole.exact == rate(parse_price(only), bounds[index], "USD").exact


@quick
@given(st.integers(1, 500), st.integers(0, 50), st.integers(0, 200), st.sampled_from(["up", "down"]))
def test_package_boundaries(size: int, count: int, free: int, direction: str) -> None:
    price = parse_price({"type": "package", "size": size, "amount": 1, "free": free, "round": direction})
    full = free + size * count
    assert rate(price, full, "USD").exact == count
    assert rate(price, full + 1, "USD").exact == count + (direction == "up" or size == 1)


@quick
@given(
    st.decimals(0, 10**6, places=2),
    st.decimals(0, 10**6, places=4),
    st.integers(0, 2_678_400),
    st.sampled_from(["USD", "JPY", "KWD"]),
)
def test_a_proration_credit_never_exceeds_the_charge(
    charged: Decimal, new_price: Decimal, seconds: int, currency: str
) -> None:
    money = Money(round_amount(Decimal(f"{charged:f}"), currency), currency)
    share = Share(seconds, 2_678_400)
    lines = change_lines(money, Decimal(f"{new_price:f}"), share, PERIOD, old_name="a", new_name="b")
    credit = sum((line.amount.amount for line in lines if line.kind == "credit"), Decimal(0))
    assert -money.amount <= credit <= 0
    rest = Share(share.whole - share.part, share.whole).of(money.amount)
    assert abs(share.of(money.amount) + rest - money.amount) <= Decimal(1).scaleb(-60)


@quick
@given(any_price, quantities, st.integers(0, 31))
def test_a_prorated_price_still_rates(document: dict[str, Any], quantity: Any, days: int) -> None:
    price = parse_price(document)
    part = prorated(price, Share(days, 31))
    assert rate(part, quantity, "USD").exact >= 0
    assert prorated(price, Share(31, 31)) == price
