"""The catalog: what a plan costs, as one immutable version known by the hash of its content."""

from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Literal

from gateway.billing.canonical import price_document, version
from gateway.billing.price import Price
from gateway.billing.pricing.flat import Flat
from gateway.money import MoneyError, exponent, plain

Cycle = Literal["month", "year"]


@dataclass(frozen=True)
class Plan:
    """A plan's prices. ``monthly`` and ``yearly`` are the plan's own fee per cycle; None: not sold by that cycle.

    Prices are versioned and limits are not (SEMANTICS §17), so limits are no part of it. One plan, one currency (§38).
    """

    name: str
    currency: str
    monthly: Decimal | None = None
    yearly: Decimal | None = None
    trial_days: int = 0
    prices: tuple[Price, ...] = ()

    def __post_init__(self) -> None:
        exponent(self.currency)
        for price in self.prices:
            if price.currency not in (None, self.currency):
                raise MoneyError(f"plan {self.name} is in {self.currency}, but a price of it in {price.currency}")

    @cached_property
    def version(self) -> str:
        """The content hash of everything that decides an amount; the name does not."""
        return version(self.document)

    @cached_property
    def document(self) -> dict[str, object]:
        """The plan in canonical form, to be stored with what was rated by it."""
        return {
            "currency": self.currency,
            "monthly": None if self.monthly is None else plain(self.monthly),
            "yearly": None if self.yearly is None else plain(self.yearly),
            "trial_days": self.trial_days,
            "prices": [price_document(price) for price in self.prices],
        }

    def fee(self, cycle: Cycle) -> Decimal | None:
        """The plan's fee for one cycle, or None."""
        return self.monthly if cycle == "month" else self.yearly

    def metered(self) -> tuple[Price, ...]:
        """The prices that depend on usage: billed in arrears, always monthly (SEMANTICS §36)."""
        return tuple(price for price in self.prices if not isinstance(price.model, Flat))

    def fees(self, cycle: Cycle, *, renews: bool = True, first: bool = False) -> tuple[Price, ...]:
        """The flat amounts due with one monthly bill of a subscription by ``cycle``.

        A yearly fee is due in the month in which the year begins (``renews``), and only on yearly subscriptions; a
        ``once`` fee on a subscription's first bill.
        """
        due = {"month": True, "year": cycle == "year" and renews, "once": first}
        own = self.fee(cycle)
        fees = [Price(Flat(own, cycle), name=f"{self.name} plan")] if own is not None and due[cycle] else []
        return (*fees, *(price for price in self.prices if isinstance(price.model, Flat) and due[price.model.every]))
