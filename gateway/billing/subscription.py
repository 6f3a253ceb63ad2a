"""Subscriptions: their states, the one table by which they change, and what time alone demands of them."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from gateway.billing.catalog import Cycle
from gateway.billing.periods import Schedule
from gateway.errors import GatewayError


class State(StrEnum):
    """Where a subscription stands."""

    PENDING = "pending"
    TRIALING = "trialing"
    ACTIVE = "active"
    PAST_DUE = "past_due"
    SUSPENDED = "suspended"
    PAUSED = "paused"
    CANCELED = "canceled"


class Trigger(StrEnum):
    """What happened to it."""

    START = "start"
    START_TRIAL = "start_trial"
    END_TRIAL = "end_trial"
    OVERDUE = "overdue"
    PAID = "paid"
    SUSPEND = "suspend"
    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"


TRANSITIONS: dict[tuple[State, Trigger], State] = {
    (State.PENDING, Trigger.START): State.ACTIVE,
    (State.PENDING, Trigger.START_TRIAL): State.TRIALING,
    (State.PENDING, Trigger.CANCEL): State.CANCELED,
    (State.TRIALING, Trigger.END_TRIAL): State.ACTIVE,
    (State.TRIALING, Trigger.CANCEL): State.CANCELED,
    (State.ACTIVE, Trigger.OVERDUE): State.PAST_DUE,
    (State.ACTIVE, Trigger.PAUSE): State.PAUSED,
    (State.ACTIVE, Trigger.CANCEL): State.CANCELED,
    (State.PAST_DUE, Trigger.PAID): State.ACTIVE,
    (State.PAST_DUE, Trigger.SUSPEND): State.SUSPENDED,
    (State.PAST_DUE, Trigger.CANCEL): State.CANCELED,
    (State.SUSPENDED, Trigger.PAID): State.ACTIVE,
    (State.SUSPENDED, Trigger.CANCEL): State.CANCELED,
    (State.PAUSED, Trigger.RESUME): State.ACTIVE,
    (State.PAUSED, Trigger.CANCEL): State.CANCELED,
}
"""The only way to change state. Nothing leads out of ``canceled``: a returning tenant subscribes anew."""

SERVED = frozenset({State.TRIALING, State.ACTIVE, State.PAST_DUE})
"""The states in which calls pass; in all others the gateway answers 403."""


class TransitionError(GatewayError):
    """The trigger means nothing in this state."""

    def __init__(self, state: State, trigger: Trigger) -> None:
        super().__init__(f"a subscription that is {state} cannot {trigger}")
        self.state, self.trigger = state, trigger


def transition(state: State, trigger: Trigger) -> State:
    """The next state, by the table; raises ``TransitionError``."""
    try:
        return TRANSITIONS[state, trigger]
    except KeyError:
        raise TransitionError(state, trigger) from None


@dataclass(frozen=True, slots=True)
class Subscription:
    """One tenant's contract for one plan at one price version. ``quantity`` counts seats.

    ``cancel_at`` is set at once by a cancellation at the period's end. A pinned version never moves (SEMANTICS §17).
    """

    id: str
    tenant: str
    plan: str
    version: str
    cycle: Cycle
    schedule: Schedule
    start: datetime
    state: State = State.PENDING
    trial_end: datetime | None = None
    cancel_at: datetime | None = None
    pinned: bool = False
    quantity: int = 1

    def after(self, trigger: Trigger) -> "Subscription":
        """The subscription once ``trigger`` happened."""
        return replace(self, state=transition(self.state, trigger))

    def renewed(self, newest: str) -> "Subscription":
        """At the start of a period: on the newest version of its plan's prices, unless pinned."""
        return self if self.pinned else replace(self, version=newest)


def due(
    subscription: Subscription, at: datetime, overdue_since: datetime | None, suspend_after: timedelta
) -> Trigger | None:
    """What time and debt demand at ``at``, one trigger at a time; None when nothing is due.

    ``overdue_since`` is the due date of the oldest unpaid open invoice that has passed, None without one.
    """
    state, end = subscription.state, subscription.cancel_at
    if state is State.CANCELED:
        return None
    if end is not None and end <= at:
        return Trigger.CANCEL
    match state:
        case State.PENDING if subscription.start <= at:
            trial = subscription.trial_end
            return Trigger.START_TRIAL if trial is not None and trial > subscription.start else Trigger.START
        case State.TRIALING if subscription.trial_end is None or subscription.trial_end <= at:
            return Trigger.END_TRIAL
        case State.ACTIVE if overdue_since is not None:
            return Trigger.OVERDUE
        case State.PAST_DUE | State.SUSPENDED if overdue_since is None:
            return Trigger.PAID
        case State.PAST_DUE if overdue_since is not None and overdue_since + suspend_after <= at:
            return Trigger.SUSPEND
        case _:
            return None


def settle(
    subscription: Subscription, at: datetime, overdue_since: datetime | None, suspend_after: timedelta
) -> tuple[Subscription, tuple[Trigger, ...]]:
    """Apply what is due until nothing is; running it again changes nothing."""
    applied: list[Trigger] = []
    while (trigger := due(subscription, at, overdue_since, suspend_after)) is not None:
        subscription = subscription.after(trigger)
        applied.append(trigger)
    return subscription, tuple(applied)
