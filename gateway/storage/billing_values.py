"""The rows of billing as values: one field a column. Times are microseconds, amounts exact decimal texts."""

from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class PlanVersionRow:
    """A plan's prices since ``seen_us``; ``key`` is the plan's name, or ``plan@tenant``."""

    key: str
    ordinal: int
    plan: str
    version: str
    document: Json
    seen_us: int


@dataclass(frozen=True, slots=True)
class SubscriptionRow:
    """A row of ``subscriptions``. ``change`` waits for the period's end; ``anchor`` is an ISO date."""

    id: str
    tenant: str
    plan: str
    version: str
    cycle: str
    quantity: int
    anchor: str
    timezone: str
    state: str
    start_us: int
    trial_end_us: int | None
    cancel_at_us: int | None
    canceled_us: int | None
    billed_until_us: int | None
    pinned: bool
    change: Json | None
    created_us: int
    next_us: int
    revision: int


@dataclass(frozen=True, slots=True)
class PhaseRow:
    """By which prices a subscription was served from ``start_us`` on."""

    subscription: str
    start_us: int
    tenant: str
    plan: str
    version: str
    cycle: str
    quantity: int


@dataclass(frozen=True, slots=True)
class InvoiceRow:
    """A row of ``invoices``; ``start_us`` and ``end_us`` are its period."""

    id: str
    tenant: str
    subscription: str
    reason: str
    state: str
    series: str | None
    sequence: int | None
    number: str | None
    start_us: int
    end_us: int
    currency: str
    subtotal: str
    credited: str
    tax: str
    total: str
    paid: str
    watermark: int
    document: Json
    created_us: int
    finalize_us: int
    finalized_us: int | None
    due_us: int | None
    closed_us: int | None
    replaces: str | None
    replaced_by: str | None
    revision: int


@dataclass(frozen=True, slots=True)
class LineRow:
    """A line of an invoice; ``charge`` names what it is for."""

    invoice: str
    place: int
    tenant: str
    subscription: str
    charge: str
    kind: str
    description: str
    meter: str
    quantity: str
    exact: str
    amount: str
    start_us: int | None
    end_us: int | None
    steps: list[Json] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class PendingRow:
    """What waits for a subscription's next invoice; ``invoice`` names the one that took it."""

    id: str
    tenant: str
    subscription: str
    item: Json
    created_us: int
    invoice: str | None = None


@dataclass(frozen=True, slots=True)
class PaymentRow:
    """Money that came in for an invoice or was announced, or (``kind`` refund) went back. ``note``: why it did not."""

    id: str
    tenant: str
    invoice: str
    provider: str
    reference: str
    amount: str
    currency: str
    at_us: int
    actor: str
    kind: str = "payment"
    status: str = "succeeded"
    settled_us: int | None = None
    settled_by: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class CreditRow:
    """Money that a tenant may still use."""

    id: str
    tenant: str
    currency: str
    amount: str
    remaining: str
    priority: int
    created_us: int
    expires_us: int | None
    source: str


@dataclass(frozen=True, slots=True)
class DrawRow:
    """What an invoice took of a credit."""

    invoice: str
    credit: str
    tenant: str
    amount: str


@dataclass(frozen=True, slots=True)
class CreditNoteRow:
    """A credit note on a final invoice."""

    id: str
    tenant: str
    invoice: str
    series: str
    sequence: int
    number: str
    currency: str
    subtotal: str
    tax: str
    total: str
    reason: str
    at_us: int
