"""Payment by hand: the customer transfers money, a person sees it on the bank's statement and says so.

There is no machine to ask, so nothing succeeds here by itself: a charge is pending, with words on how to pay, until a
person of the seller confirms it. A refund is the seller's own act and is done when it is recorded.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from gateway.billing.payment import PaymentState
from gateway.payments.ports import Attempt, Customer, Demand, NotificationRefused, Setup

if TYPE_CHECKING:
    from gateway.payments.ports import PaymentProvider

MANUAL = "manual"
ACCOUNT_FIELDS = {
    "bank": "Bank",
    "account": "Account",
    "account_holder": "Account holder",
    "iban": "IBAN",
    "bic": "BIC",
    "routing_number": "Routing number",
    "sort_code": "Sort code",
    "payment": "",
}
"""Of ``billing.seller``: what a payer needs, and how it reads. ``payment`` is a sentence of the seller's own."""


class ManualPayments:
    """``seller`` is asked each time: the configuration may change."""

    def __init__(self, seller: Callable[[], Mapping[str, str]]) -> None:
        self._seller = seller

    @property
    def name(self) -> str:
        return MANUAL

    async def begin_setup(self, customer: Customer) -> Setup:
        """Where to send money; nothing has to be set up."""
        return Setup(instructions=self._account())

    async def charge(self, demand: Demand) -> Attempt:
        """How to pay this demand."""
        payee = self._seller().get("name")
        words = (f"Transfer {demand.amount}{f' to {payee}' if payee else ''}.", *self._account())
        reference = (f"Reference: {demand.invoice}",)
        return Attempt(demand.key, PaymentState.PENDING, demand.amount, instructions=(*words, *reference))

    async def refund(self, demand: Demand) -> Attempt:
        """Who records it has sent the money."""
        return Attempt(demand.key, PaymentState.SUCCEEDED, demand.amount)

    async def fetch(self, known: Attempt) -> Attempt:
        """Nobody knows more than the books."""
        return known

    def parse_notification(self, headers: Mapping[str, str], body: bytes) -> Attempt:
        """Nobody sends any."""
        raise NotificationRefused("payments by hand are confirmed by people, not by messages")

    def _account(self) -> tuple[str, ...]:
        seller = self._seller()
        named = ((label, seller[field]) for field, label in ACCOUNT_FIELDS.items() if seller.get(field))
        return tuple(f"{label}: {value}" if label else value for label, value in named)


if TYPE_CHECKING:
    _: type[PaymentProvider] = ManualPayments
