"""The port to a payment provider (ARCHITECTURE §5). Providers move money; the books stay ours."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from gateway.billing.payment import PaymentState
from gateway.errors import GatewayError
from gateway.money import Money


class ProviderError(GatewayError):
    """The provider refused or did not answer; the text is fit to be shown and holds no secret."""


class NotificationRefused(GatewayError):
    """What claims to come from the provider does not, or says nothing of a payment."""


@dataclass(frozen=True, slots=True)
class Customer:
    """Who pays."""

    tenant: str
    name: str


@dataclass(frozen=True, slots=True)
class Setup:
    """How a customer gets ready to pay: a page of the provider's, or words; either may be empty."""

    url: str = ""
    instructions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Demand:
    """What is to be paid, or given back. ``key`` is our payment's id: asked again with it, it is the same payment."""

    key: str
    customer: Customer
    invoice: str
    amount: Money


@dataclass(frozen=True, slots=True)
class Attempt:
    """What the provider says of a payment or refund. ``reference`` is the provider's name for it."""

    key: str
    state: PaymentState
    amount: Money
    reference: str = ""
    instructions: tuple[str, ...] = ()
    reason: str = ""


class PaymentProvider(Protocol):
    """Who moves money. Every method may be repeated without moving it twice."""

    @property
    def name(self) -> str:
        """How the books name it."""
        ...

    async def begin_setup(self, customer: Customer) -> Setup:
        """Get a customer ready to pay."""
        ...

    async def charge(self, demand: Demand) -> Attempt:
        """Ask for money. ``pending``: it comes later, and somebody will say so."""
        ...

    async def refund(self, demand: Demand) -> Attempt:
        """Give money back."""
        ...

    async def fetch(self, known: Attempt) -> Attempt:
        """What the provider says now of a payment or refund that we know."""
        ...

    def parse_notification(self, headers: Mapping[str, str], body: bytes) -> Attempt:
        """What a message of the provider's says; raises ``NotificationRefused`` unless it is proven to be its."""
        ...
