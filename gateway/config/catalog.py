"""From the resolved configuration to the catalog: one plan's prices as the domain knows them."""

import re
from collections.abc import Mapping
from decimal import Decimal

from gateway.billing.catalog import Plan
from gateway.config.price_schema import exact_decimal, parse_price

DEFAULT_CURRENCY = "USD"


def plan_prices(source: Mapping[str, object], name: str) -> Plan:
    """The plan ``name`` of a validated configuration (``Snapshot.source``); raises ``KeyError`` for an unknown one.

    Its currency is the plan's, else `billing.currency` (SEMANTICS §38).
    """
    plan = _map(_map(source, "plans"), name) if name in _map(source, "plans") else None
    if plan is None:
        raise KeyError(name)
    billing = _map(plan, "billing")
    currency = plan.get("currency") or _map(source, "billing").get("currency") or DEFAULT_CURRENCY
    prices = plan.get("prices")
    return Plan(
        name=name,
        currency=str(currency),
        monthly=_fee(billing, "month"),
        yearly=_fee(billing, "year"),
        trial_days=_days(plan.get("trial")),
        prices=tuple(parse_price(price) for price in prices) if isinstance(prices, list | tuple) else (),
    )


def catalog(source: Mapping[str, object]) -> dict[str, Plan]:
    """All plans of a validated configuration, by name."""
    return {name: plan_prices(source, name) for name in _map(source, "plans")}


def _map(source: Mapping[str, object], name: str) -> Mapping[str, object]:
    value = source.get(name)
    return value if isinstance(value, Mapping) else {}


def _fee(billing: Mapping[str, object], cycle: str) -> Decimal | None:
    fee = _map(billing, cycle)
    return exact_decimal(fee["amount"]) if "amount" in fee else None


def _days(trial: object) -> int:
    """Whole days of a trial, written ``14d``."""
    found = re.fullmatch(r"([0-9]+)d", trial) if isinstance(trial, str) else None
    return int(found[1]) if found else 0
