"""A payment provider in memory: charges by card, told of by signed messages. It shows that the port has room."""

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from gateway.billing.payment import PaymentState
from gateway.money import Money
from gateway.payments.ports import Attempt, Customer, Demand, NotificationRefused, ProviderError, Setup

if TYPE_CHECKING:
    from gateway.payments.ports import PaymentProvider


class CardProvider:
    """``outcome`` is what the next charge comes to; ``moved`` lists every movement of money, once."""

    name = "card"

    def __init__(self) -> None:
        self.outcome = PaymentState.SUCCEEDED
        self.moved: list[tuple[str, Money]] = []
        self.attempts: dict[str, Attempt] = {}
        self.broken = False

    async def begin_setup(self, customer: Customer) -> Setup:
        return Setup(url=f"https://cards.example/setup/{customer.tenant}")

    async def charge(self, demand: Demand) -> Attempt:
        return self._once(demand, demand.amount, self.outcome)

    async def refund(self, demand: Demand) -> Attempt:
        return self._once(demand, -demand.amount, self.outcome)

    async def fetch(self, known: Attempt) -> Attempt:
        return self.attempts.get(known.key, known)

    def parse_notification(self, headers: Mapping[str, str], body: bytes) -> Attempt:
        if not hmac.compare_digest(headers.get("Card-Signature", ""), self.signature(body)):
            raise NotificationRefused("the signature is not ours")
        told = json.loads(body)
        return replace(self.attempts[told["key"]], state=PaymentState(told["state"]))

    def signature(self, body: bytes) -> str:
        return hmac.new(b"card secret", body, hashlib.sha256).hexdigest()

    def message(self, key: str, state: PaymentState) -> tuple[dict[str, str], bytes]:
        """What the provider sends about a payment."""
        body = json.dumps({"key": key, "state": state}).encode()
        return {"Card-Signature": self.signature(body)}, body

    def _once(self, demand: Demand, moved: Money, state: PaymentState) -> Attempt:
        if self.broken:
            raise ProviderError("the card provider does not answer")
        if demand.key not in self.attempts:
            self.attempts[demand.key] = Attempt(demand.key, state, demand.amount, f"ch_{len(self.attempts)}")
            if state is PaymentState.SUCCEEDED:
                self.moved.append((demand.key, moved))
        return self.attempts[demand.key]


if TYPE_CHECKING:
    _: type[PaymentProvider] = CardProvider
