"""What the configuration says about billing: the seller, terms, taxes, and each tenant's own prices."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path

from gateway.billing.catalog import Plan
from gateway.billing.price import Price
from gateway.billing.pricing.flat import Flat
from gateway.billing.proration import By
from gateway.billing.tax import TaxRate, TaxRules
from gateway.config.accounts import Aggregate, event_aggregates
from gateway.config.catalog import plan_prices
from gateway.config.price_schema import exact_decimal, parse_price
from gateway.config.snapshot import Snapshot
from gateway.config.units import parse_duration

Map = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class TenantTerms:
    """A tenant's own terms. ``start`` is an ISO date or empty; ``anniversary``: periods count from its day."""

    start: str = ""
    anniversary: bool = False
    pinned: bool = False
    quantity: int = 1
    exempt: str = ""
    tax_id: str = ""


@dataclass(frozen=True, slots=True)
class BillingSettings:
    """The ``billing`` block and what tenants change in it. Times are microseconds."""

    source: Map
    prefix: str
    proration: By
    draft_grace_us: int
    due_us: int
    suspend_after_us: int
    seller: dict[str, str]
    fonts: tuple[Path, ...]
    _terms: dict[str, TenantTerms] = field(default_factory=dict, compare=False)
    _rules: dict[str, TaxRules] = field(default_factory=dict, compare=False)
    _entries: list[tuple[str, str]] = field(default_factory=list, compare=False)

    @classmethod
    def of(cls, snapshot: Snapshot) -> "BillingSettings":
        """From a valid configuration."""
        billing = _map(snapshot.source, "billing")
        fonts = billing.get("pdf_fonts")
        return cls(
            source=snapshot.source,
            prefix=str(billing["invoice_prefix"]),
            proration="day" if billing.get("proration") == "day" else "second",
            draft_grace_us=parse_duration(billing["draft_grace"]),
            due_us=_days_us(billing["due"]),
            suspend_after_us=_days_us(billing["suspend_after"]),
            seller={name: str(value) for name, value in _map(billing, "seller").items()},
            fonts=tuple(snapshot.folder / str(font) for font in fonts) if isinstance(fonts, list | tuple) else (),
        )

    def plans(self) -> list[str]:
        """The names of all plans."""
        return list(_map(self.source, "plans"))

    def key(self, plan: str, tenant: str) -> str:
        """Under which name a tenant's prices of a plan are in the catalog."""
        own = self._tenant(tenant)
        return f"{plan}@{tenant}" if own.get("prices") or any(_map(own, "billing").values()) else plan

    def entries(self) -> list[tuple[str, str]]:
        """All entries of the catalog: plan and tenant (empty: the plan as everybody has it)."""
        if not self._entries:
            self._entries.extend((plan, "") for plan in self.plans())
            for tenant in _map(self.source, "tenants"):
                plan = str(self._tenant(tenant).get("plan"))
                if self.key(plan, tenant) != plan:
                    self._entries.append((plan, tenant))
        return self._entries

    def plan(self, plan: str, tenant: str = "") -> Plan:
        """A plan's newest prices, with the tenant's own; raises ``KeyError`` for an unknown plan."""
        found = plan_prices(self.source, plan)
        own = self._tenant(tenant)
        fees = _map(own, "billing")
        prices = own.get("prices")
        overrides = [parse_price(price) for price in prices] if isinstance(prices, list | tuple) else []
        return replace(
            found,
            monthly=_fee(fees, "month", found.monthly),
            yearly=_fee(fees, "year", found.yearly),
            prices=_overridden(found.prices, overrides),
        )

    def aggregates(self, plan: Plan) -> dict[str, Aggregate]:
        """How events from outside count on the meters that the plan prices."""
        priced = {price.meter for price in plan.metered()}
        return {meter: how for meter, how in event_aggregates(self.source).items() if meter in priced}

    def event_meters(self) -> list[str]:
        """The meters that events from outside count on."""
        return list(event_aggregates(self.source))

    def terms(self, tenant: str) -> TenantTerms:
        """The tenant's terms; defaults for one that is not in the configuration."""
        found = self._terms.get(tenant)
        if found is None:
            found = self._terms[tenant] = self._read_terms(tenant)
        return found

    def tax_rules(self, tenant: str) -> TaxRules:
        """How the tenant is taxed: the rates of its region, else of the seller's default one."""
        found = self._rules.get(tenant)
        if found is None:
            found = self._rules[tenant] = self._read_rules(tenant)
        return found

    def seats(self) -> list[str]:
        """The tenants whose seats the configuration counts."""
        return [tenant for tenant in _map(self.source, "tenants") if self.terms(tenant).quantity != 1]

    def _read_terms(self, tenant: str) -> TenantTerms:
        own = self._tenant(tenant)
        tax = _map(own, "tax")
        start = str(own.get("start") or "")
        quantity = own.get("quantity")
        return TenantTerms(
            start=start,
            anniversary=bool(start) and own.get("alignment") != "calendar",
            pinned=bool(own.get("pin")),
            quantity=quantity if isinstance(quantity, int) else 1,
            exempt=str(tax.get("exempt") or ""),
            tax_id=str(tax.get("id") or ""),
        )

    def _read_rules(self, tenant: str) -> TaxRules:
        tax = _map(_map(self.source, "billing"), "tax")
        region = _map(self._tenant(tenant), "tax").get("region") or tax.get("region")
        rates = _map(tax, "rates").get(str(region)) if region else None
        return TaxRules(
            rates=tuple(
                TaxRate(str(rate["name"]), exact_decimal(rate["percent"]))
                for rate in (rates if isinstance(rates, list | tuple) else ())
            ),
            inclusive=bool(tax.get("inclusive")),
            per="line" if tax.get("per") == "line" else "invoice",
            round_of="net" if tax.get("round_of") == "net" else "tax",
            exempt=self.terms(tenant).exempt,
        )

    def _tenant(self, tenant: str) -> Map:
        return _map(_map(self.source, "tenants"), tenant)


def _overridden(prices: tuple[Price, ...], overrides: list[Price]) -> tuple[Price, ...]:
    """Own prices take the place of the plan's for the same meter; a flat one, that of the same name."""
    names = {_name(price) for price in overrides}
    return (*(price for price in prices if _name(price) not in names), *overrides)


def _name(price: Price) -> tuple[str, str]:
    if isinstance(price.model, Flat):
        return "flat", price.name or price.model.every
    return "meter", price.meter


def _map(source: Map, name: str) -> Map:
    value = source.get(name)
    return value if isinstance(value, Mapping) else {}


def _fee(fees: Map, cycle: str, default: Decimal | None) -> Decimal | None:
    fee = _map(fees, cycle)
    return exact_decimal(fee["amount"]) if "amount" in fee else default


def _days_us(value: object) -> int:
    return parse_duration(value)
