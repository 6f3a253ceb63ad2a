"""Payments: their states and the one table by which they change."""

from enum import StrEnum

from gateway.errors import GatewayError


class PaymentState(StrEnum):
    """``pending``: announced or on its way; the money is not there yet."""

    PENDING = "pending"
    SUCCEEDED = "succeeded"
    REJECTED = "rejected"


class PaymentTrigger(StrEnum):
    """What became of it."""

    CONFIRM = "confirm"
    REJECT = "reject"


PAYMENT_TRANSITIONS: dict[tuple[PaymentState, PaymentTrigger], PaymentState] = {
    (PaymentState.PENDING, PaymentTrigger.CONFIRM): PaymentState.SUCCEEDED,
    (PaymentState.PENDING, PaymentTrigger.REJECT): PaymentState.REJECTED,
}
"""The only way to change a payment. Money that came in goes back by a refund, which is a row of its own."""


class PaymentTransitionError(GatewayError):
    """The trigger means nothing in this state."""

    def __init__(self, state: PaymentState, trigger: PaymentTrigger) -> None:
        super().__init__(f"a payment that {_IS[state]} cannot be {trigger}ed")
        self.state, self.trigger = state, trigger


_IS = {
    PaymentState.PENDING: "is pending",
    PaymentState.SUCCEEDED: "has succeeded",
    PaymentState.REJECTED: "was rejected",
}


def payment_transition(state: PaymentState, trigger: PaymentTrigger) -> PaymentState:
    """The next state, by the table; raises ``PaymentTransitionError``."""
    try:
        return PAYMENT_TRANSITIONS[state, trigger]
    except KeyError:
        raise PaymentTransitionError(state, trigger) from None
