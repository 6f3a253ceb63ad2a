"""What the pages of money are given: one frozen dataclass a page."""

from dataclasses import dataclass, replace
from decimal import Decimal

from gateway.quotas.limit import Limit
from gateway.storage.billing_values import SubscriptionRow
from gateway.ui.contexts import Option


@dataclass(frozen=True, slots=True)
class InvoiceSummary:
    """An invoice in a list; ``state`` is "overdue" for an open one past its day, ``number`` empty for a draft.

    ``zone`` is the invoice's, as on its document: a list has those of many tenants.
    """

    id: str
    number: str
    tenant: str
    state: str
    zone: str
    start_us: int
    end_us: int
    due_us: int | None
    currency: str
    total: Decimal
    owed: Decimal


@dataclass(frozen=True, slots=True)
class InvoiceList:
    """One page of invoices, newest first."""

    base: str
    rows: tuple[InvoiceSummary, ...]
    next: str
    first: bool
    states: tuple[str, ...]
    state: str
    with_tenant: bool
    waiting: tuple[InvoiceSummary, ...] = ()


@dataclass(frozen=True, slots=True)
class InvoiceLine:
    """A line; ``steps`` say in words how its amount is made."""

    description: str
    quantity: str
    amount: Decimal
    start_us: int | None
    end_us: int | None
    steps: tuple[str, ...]
    place: int = 0


@dataclass(frozen=True, slots=True)
class TaxView:
    """One tax of an invoice; ``percent`` as it is written."""

    name: str
    percent: str
    amount: Decimal


@dataclass(frozen=True, slots=True)
class NoteLine:
    """A credit note on an invoice; ``total`` with tax."""

    number: str
    at_us: int
    reason: str
    total: Decimal


@dataclass(frozen=True, slots=True)
class PaymentLine:
    """Money that came in, was announced (``pending``), did not come (``rejected``) or went back (``kind`` refund)."""

    id: str
    at_us: int
    reference: str
    amount: Decimal
    kind: str
    status: str
    note: str


@dataclass(frozen=True, slots=True)
class InvoiceView:
    """One invoice. ``creditable`` is what may still be given back, ``instructions`` say how to pay what is owed."""

    base: str
    head: InvoiceSummary
    lines: tuple[InvoiceLine, ...]
    subtotal: Decimal
    credited: Decimal
    taxes: tuple[TaxView, ...]
    inclusive: bool
    exempt: str
    paid: Decimal
    payments: tuple[PaymentLine, ...]
    notes: tuple[NoteLine, ...]
    creditable: Decimal
    seller: tuple[tuple[str, str], ...]
    customer: tuple[tuple[str, str], ...]
    finalized_us: int | None
    finalize_us: int
    replaces: str
    replaced_by: str
    may_write: bool = False
    may_pay: bool = False
    instructions: tuple[str, ...] = ()
    error: str = ""
    notice: str = ""

    @property
    def waiting(self) -> Decimal:
        """What was announced and is not confirmed yet."""
        pending = (one.amount for one in self.payments if (one.kind, one.status) == ("payment", "pending"))
        return sum(pending, Decimal(0))

    def with_actions(self, may_write: bool, error: str, notice: str) -> "InvoiceView":
        """The same with what the visitor may do, and what came of it."""
        return replace(self, may_write=may_write, error=error, notice=notice)

    def to_be_paid(self, instructions: tuple[str, ...]) -> "InvoiceView":
        """The same for somebody who may pay it."""
        return replace(self, may_pay=True, instructions=instructions)


@dataclass(frozen=True, slots=True)
class PlanOffer:
    """A plan that one may be on; ``cycle`` is the present subscription's."""

    name: str
    currency: str
    month: Decimal | None
    year: Decimal | None
    trial_days: int
    limits: tuple[str, ...]
    prices: tuple[tuple[str, ...], ...]
    present: bool
    cycle: str


@dataclass(frozen=True, slots=True)
class ChangePreview:
    """What a change would cost; ``total`` None: nothing is due for it."""

    plan: str
    cycle: str
    when: str
    effective_us: int
    lines: tuple[InvoiceLine, ...]
    taxes: tuple[TaxView, ...]
    total: Decimal | None
    currency: str


@dataclass(frozen=True, slots=True)
class CreditLine:
    """Money that a tenant may still use; ``left`` of ``amount``."""

    at_us: int
    source: str
    amount: Decimal
    left: Decimal
    currency: str
    expires_us: int | None


@dataclass(frozen=True, slots=True)
class PlanView:
    """A tenant's subscription and the plans there are. ``managed``: where the configuration holds the plan."""

    base: str
    subscription: SubscriptionRow | None
    plan: str
    offers: tuple[PlanOffer, ...]
    preview: ChangePreview | None
    may_preview: bool
    may_write: bool
    managed: str
    credits: tuple[CreditLine, ...]
    currency: str
    error: str
    notice: str


@dataclass(frozen=True, slots=True)
class PlanLine:
    """A plan for the operator: limits with their windows in words, prices in words, one tuple of lines a price."""

    name: str
    currency: str
    month: Decimal | None
    year: Decimal | None
    trial_days: int
    limits: tuple[tuple[Limit, str], ...]
    prices: tuple[tuple[str, ...], ...]
    tenants: int


@dataclass(frozen=True, slots=True)
class PlanList:
    """All plans; ``managed``: where they are written."""

    rows: tuple[PlanLine, ...]
    managed: str


@dataclass(frozen=True, slots=True)
class CompareLine:
    """A tenant's month by its own prices and by another plan's; ``difference`` None: in different currencies."""

    tenant: str
    plan: str
    now: Decimal
    currency: str
    then: Decimal
    then_currency: str
    difference: Decimal | None


@dataclass(frozen=True, slots=True)
class PlanPage:
    """One plan, and what it would cost whom; ``query`` is what the pager keeps of the address."""

    line: PlanLine
    version: str
    managed: str
    rows: tuple[CompareLine, ...]
    next: str
    first: bool
    query: str
    months: tuple[Option, ...]
    tenant: str
    may_compare: bool
    error: str
