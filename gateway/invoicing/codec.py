"""An invoice's inputs as JSON and back: what is stored beside it is all that `verify` needs (SEMANTICS §29)."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from json import dumps, loads
from typing import Any, assert_never
from zoneinfo import ZoneInfo

from gateway.billing.bill import MeteredUsage
from gateway.billing.catalog import Plan
from gateway.billing.credit import Grant
from gateway.billing.items import Billed, CorrectionItem, CreditItem, FeeItem, Item, ManualItem, UsageItem
from gateway.billing.proration import By
from gateway.billing.tax import TaxRate, TaxRules
from gateway.config.price_schema import exact_decimal, parse_price
from gateway.money import Money, plain
from gateway.period import Period, from_us, to_us

Json = dict[str, Any]


def plan_to_json(plan: Plan) -> Json:
    """A plan with its name."""
    return {"name": plan.name, **plan.document}


def plan_from_json(document: Mapping[str, Any]) -> Plan:
    """The plan that was stored; equal documents give one object."""
    return _plan(dumps(document, sort_keys=True))


@lru_cache(maxsize=1024)
def _plan(text: str) -> Plan:
    document = loads(text)
    return Plan(
        name=document["name"],
        currency=document["currency"],
        monthly=_number(document["monthly"]),
        yearly=_number(document["yearly"]),
        trial_days=document["trial_days"],
        prices=tuple(parse_price(price) for price in document["prices"]),
    )


def item_to_json(item: Item) -> Json:
    """An item in plain types."""
    match item:
        case FeeItem():
            return {
                "type": "fee",
                "plan": plan_to_json(item.plan),
                "cycle": item.cycle,
                "quantity": item.quantity,
                "month": period_to_json(item.month),
                "year": period_to_json(item.year),
                "since": to_us(item.since),
                "age": item.age,
                "zone": item.zone.key,
                "first": item.first,
                "change": item.change,
                **_by(item.by),
            }
        case UsageItem():
            return {
                "type": "usage",
                "plan": plan_to_json(item.plan),
                "month": period_to_json(item.month),
                "served": period_to_json(item.served),
                "age": item.age,
                "zone": item.zone.key,
                "units": {meter: str(units) for meter, units in item.usage.units.items()},
                "aggregates": dict(item.aggregates),
                **_by(item.by),
            }
        case CorrectionItem():
            billed = {charge: [plain(one.quantity), str(one.amount)] for charge, one in item.billed.items()}
            return {"type": "correction", "item": item_to_json(item.item), "billed": billed}
        case CreditItem():
            return {
                "type": "credit",
                "charge": item.charge,
                "name": item.name,
                "charged": item.charged.to_json(),
                "period": period_to_json(item.period),
                "at": to_us(item.at),
                "zone": item.zone.key,
                "by": item.by,
            }
        case ManualItem():
            return {
                "type": "manual",
                "charge": item.charge,
                "description": item.description,
                "amount": item.amount.to_json(),
            }
        case _:
            assert_never(item)


def _by(by: By) -> Json:
    """Only what differs from the rule is stored."""
    return {} if by == "second" else {"by": by}


def item_from_json(stored: Mapping[str, Any]) -> Item:
    """The item that was stored."""
    match stored["type"]:
        case "fee":
            return FeeItem(
                plan=plan_from_json(stored["plan"]),
                cycle=stored["cycle"],
                quantity=stored["quantity"],
                month=period_from_json(stored["month"]),
                year=period_from_json(stored["year"]),
                since=from_us(stored["since"]),
                age=stored["age"],
                zone=ZoneInfo(stored["zone"]),
                first=stored["first"],
                change=stored["change"],
                by=stored.get("by", "second"),
            )
        case "usage":
            return _usage(stored)
        case "correction":
            billed = {
                charge: Billed(Decimal(quantity), Decimal(amount))
                for charge, (quantity, amount) in stored["billed"].items()
            }
            return CorrectionItem(_usage(stored["item"]), billed)
        case "credit":
            period, at = period_from_json(stored["period"]), from_us(stored["at"])
            charged, zone = Money.parse(stored["charged"]), ZoneInfo(stored["zone"])
            return CreditItem(stored["charge"], stored["name"], charged, period, at, zone, stored["by"])
        case "manual":
            return ManualItem(stored["charge"], stored["description"], Money.parse(stored["amount"]))
        case other:
            raise ValueError(f"an invoice holds an item of an unknown type {other!r}")


def _usage(stored: Mapping[str, Any]) -> UsageItem:
    return UsageItem(
        plan=plan_from_json(stored["plan"]),
        month=period_from_json(stored["month"]),
        served=period_from_json(stored["served"]),
        age=stored["age"],
        zone=ZoneInfo(stored["zone"]),
        usage=MeteredUsage({meter: int(units) for meter, units in stored["units"].items()}),
        aggregates=stored["aggregates"],
        by=stored.get("by", "second"),
    )


def rules_to_json(rules: TaxRules) -> Json:
    """Tax rules in plain types."""
    return {
        "rates": [{"name": rate.name, "percent": plain(rate.percent)} for rate in rules.rates],
        "inclusive": rules.inclusive,
        "per": rules.per,
        "round_of": rules.round_of,
        "exempt": rules.exempt,
    }


def rules_from_json(stored: Mapping[str, Any]) -> TaxRules:
    """The rules that were stored."""
    rates = tuple(TaxRate(rate["name"], Decimal(rate["percent"])) for rate in stored["rates"])
    return TaxRules(rates, stored["inclusive"], stored["per"], stored["round_of"], stored["exempt"])


def grant_to_json(grant: Grant) -> Json:
    """A credit as it stood."""
    return {
        "id": grant.id,
        "remaining": grant.remaining.to_json(),
        "created": to_us(grant.created),
        "priority": grant.priority,
        "expires": None if grant.expires is None else to_us(grant.expires),
    }


def grant_from_json(stored: Mapping[str, Any]) -> Grant:
    """The credit that was stored."""
    expires: datetime | None = None if stored["expires"] is None else from_us(stored["expires"])
    remaining = Money.parse(stored["remaining"])
    return Grant(stored["id"], remaining, from_us(stored["created"]), stored["priority"], expires)


def period_to_json(period: Period) -> list[int]:
    """Both bounds in microseconds."""
    return [to_us(period.start), to_us(period.end)]


def period_from_json(stored: list[int]) -> Period:
    """The period that was stored."""
    return Period(from_us(stored[0]), from_us(stored[1]))


def _number(text: str | None) -> Decimal | None:
    return None if text is None else exact_decimal(text)
