"""How subscriptions, invoices, payments and credit notes are asked for and shown."""

from decimal import Decimal
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, Field

from gateway.api.resources.calls import CallView
from gateway.api.resources.tenants import PlanName
from gateway.api.values import (
    GivenTime,
    Listed,
    Model,
    Money,
    PageQuery,
    PeriodView,
    Time,
    time_or_none,
    time_text,
)
from gateway.billing.line import Line
from gateway.invoicing.changing import Changing
from gateway.invoicing.composing import Composed
from gateway.invoicing.what_if import Comparison
from gateway.storage.billing_values import CreditNoteRow, InvoiceRow, LineRow, PaymentRow, SubscriptionRow
from gateway.tenants.names import is_plain

When = Literal["now", "next_invoice", "period_end"]
PaymentStatus = Literal["pending", "succeeded", "rejected"]
PAYMENT_STATUS: dict[str, PaymentStatus] = {one: one for one in get_args(PaymentStatus)}
AMOUNT = r"^(0|[1-9][0-9]{0,14})(\.[0-9]{1,6})?$"
Amount = Annotated[str, Field(pattern=AMOUNT)]
Reference = Annotated[str, Field(max_length=200), AfterValidator(lambda text: _plain(text))]


def _plain(text: str) -> str:
    if not is_plain(text):
        raise ValueError("must not hold control characters")
    return text


class SubscriptionView(Model):
    """What a tenant is on. ``change`` waits for the period's end."""

    id: str
    tenant: str
    plan: str
    plan_version: str
    billing_cycle: Literal["month", "year"]
    quantity: int
    state: str
    start: Time
    trial_end: Time | None
    cancel_at: Time | None
    canceled_at: Time | None
    billed_until: Time | None
    pinned: bool
    change: dict[str, Any] | None

    @classmethod
    def of(cls, row: SubscriptionRow) -> "SubscriptionView":
        cycle: Literal["month", "year"] = "year" if row.cycle == "year" else "month"
        return cls(
            id=row.id, tenant=row.tenant, plan=row.plan, plan_version=row.version, billing_cycle=cycle,
            quantity=row.quantity, state=str(row.state), start=time_text(row.start_us),
            trial_end=time_or_none(row.trial_end_us), cancel_at=time_or_none(row.cancel_at_us),
            canceled_at=time_or_none(row.canceled_us), billed_until=time_or_none(row.billed_until_us),
            pinned=row.pinned, change=row.change,
        )  # fmt: skip


class ChangeRequest(Model):
    """What the subscription shall become; what is left out stays."""

    plan: PlanName | None = None
    billing_cycle: Literal["month", "year"] | None = None
    quantity: int | None = Field(None, ge=1, le=1_000_000)
    when: When = "now"


class PinRequest(Model):
    """Whether new versions of the plan's prices leave this subscription alone."""

    pinned: bool


class CancelRequest(Model):
    """At the end of the period that is paid, or at once."""

    now: bool = False


class LineView(Model):
    """A line of an invoice."""

    kind: str
    description: str
    meter: str | None
    quantity: str
    amount: Money
    period: PeriodView | None

    @classmethod
    def of_row(cls, row: LineRow, currency: str) -> "LineView":
        whole = row.start_us is not None and row.end_us is not None
        return cls(
            kind=row.kind, description=row.description, meter=row.meter or None, quantity=row.quantity,
            amount=Money.of(Decimal(row.amount), currency),
            period=PeriodView.between(row.start_us or 0, row.end_us or 0) if whole else None,
        )  # fmt: skip

    @classmethod
    def of(cls, line: Line) -> "LineView":
        return cls(
            kind=line.kind, description=line.description, meter=line.meter or None, quantity=f"{line.quantity:f}",
            amount=Money.of(line.amount.amount, line.amount.currency),
            period=PeriodView.of(line.period) if line.period is not None else None,
        )  # fmt: skip


class LineCalls(Listed[CallView]):
    """The calls that a line counted, newest first.

    Their units (``from_calls``) and those of events from outside and pruned calls (``from_elsewhere``) are the line's
    quantity: ``difference`` is 0.
    """

    line: LineView
    from_calls: str
    from_elsewhere: str
    difference: str


class Estimate(Model):
    """What an invoice would be, by the function that makes invoices."""

    period: PeriodView
    lines: list[LineView]
    subtotal: Money
    credited: Money
    tax: Money
    total: Money

    @classmethod
    def of(cls, composed: Composed) -> "Estimate":
        draft, totals = composed.draft, composed.draft.totals
        subtotal, credited, tax, total = (
            Money.of(one.amount, one.currency) for one in (totals.subtotal, totals.credited, totals.tax, totals.total)
        )
        return cls(
            period=PeriodView.of(draft.period), lines=[LineView.of(line) for line in draft.lines], subtotal=subtotal,
            credited=credited, tax=tax, total=total,
        )  # fmt: skip


class ComparisonView(Model):
    """A tenant's month by its own prices (``now``) and by the other plan's (``then``), late usage and credits aside.

    ``difference`` is what the other plan costs more; null where the plans have different currencies.
    """

    tenant: str
    plan: str
    now: Estimate
    then: Estimate
    difference: Money | None

    @classmethod
    def of(cls, row: Comparison) -> "ComparisonView":
        more, currency = row.difference, row.then.inputs.currency
        return cls(
            tenant=row.tenant, plan=row.plan, now=Estimate.of(row.now), then=Estimate.of(row.then),
            difference=None if more is None else Money.of(more, currency),
        )  # fmt: skip


class ComparisonList(Listed[ComparisonView]):
    """By tenant; ``next`` is the last tenant of the page."""


class WouldCostQuery(PageQuery):
    """``at``: an instant of the month to look at, the present one when left out."""

    limit: int = Field(50, ge=1, le=100)
    at: GivenTime | None = None


class ChangeView(Model):
    """A change of subscription: from when on, and what it costs (null: nothing now)."""

    plan: str
    billing_cycle: str
    quantity: int
    when: str
    effective_at: Time
    cost: Estimate | None

    @classmethod
    def of(cls, found: Changing) -> "ChangeView":
        return cls(
            plan=found.phase.plan, billing_cycle=found.phase.cycle, quantity=found.phase.quantity, when=found.when,
            effective_at=time_text(found.effective_us), cost=Estimate.of(found.composed) if found.composed else None,
        )  # fmt: skip


class InvoiceView(Model):
    """An invoice. ``number`` is given when it becomes final."""

    id: str
    number: str | None
    tenant: str
    subscription: str
    reason: str
    state: str
    period: PeriodView
    subtotal: Money
    credited: Money
    tax: Money
    total: Money
    paid: Money
    created_at: Time
    finalized_at: Time | None
    due_at: Time | None
    replaces: str | None
    replaced_by: str | None

    @classmethod
    def of(cls, row: InvoiceRow) -> "InvoiceView":
        amounts = {
            name: Money.of(Decimal(getattr(row, name)), row.currency)
            for name in ("subtotal", "credited", "tax", "total", "paid")
        }
        return cls(
            id=row.id, number=row.number, tenant=row.tenant, subscription=row.subscription, reason=row.reason,
            state=str(row.state), period=PeriodView.between(row.start_us, row.end_us), **amounts,
            created_at=time_text(row.created_us), finalized_at=time_or_none(row.finalized_us),
            due_at=time_or_none(row.due_us), replaces=row.replaces, replaced_by=row.replaced_by,
        )  # fmt: skip


class PaymentView(Model):
    """Money that came in, was announced (``pending``) or did not come (``rejected``); a refund went back."""

    id: str
    tenant: str
    invoice: str
    kind: str
    status: PaymentStatus
    amount: Money
    provider: str
    reference: str
    at: Time
    settled_at: Time | None
    note: str

    @classmethod
    def of(cls, row: PaymentRow) -> "PaymentView":
        return cls(
            id=row.id, tenant=row.tenant, invoice=row.invoice, kind=row.kind, status=PAYMENT_STATUS[row.status],
            amount=Money.of(Decimal(row.amount), row.currency), provider=row.provider, reference=row.reference,
            at=time_text(row.at_us), settled_at=time_or_none(row.settled_us), note=row.note,
        )  # fmt: skip


class CreditNoteView(Model):
    """What was given back of an invoice."""

    id: str
    number: str
    tenant: str
    invoice: str
    subtotal: Money
    tax: Money
    total: Money
    reason: str
    at: Time

    @classmethod
    def of(cls, row: CreditNoteRow) -> "CreditNoteView":
        subtotal, tax, total = (Money.of(Decimal(one), row.currency) for one in (row.subtotal, row.tax, row.total))
        return cls(
            id=row.id, number=row.number, tenant=row.tenant, invoice=row.invoice, subtotal=subtotal, tax=tax,
            total=total, reason=row.reason, at=time_text(row.at_us),
        )  # fmt: skip


class InvoiceDetail(Model):
    """An invoice with its lines, payments and credit notes."""

    invoice: InvoiceView
    lines: list[LineView]
    payments: list[PaymentView]
    credit_notes: list[CreditNoteView]


class InvoiceList(Listed[InvoiceView]):
    """Invoices, newest first."""


class InvoiceQuery(PageQuery):
    """Invoices in one state."""

    state: Literal["draft", "open", "paid", "void", "uncollectible"] | None = None


class VoidRequest(Model):
    """Whether another invoice takes its place."""

    reissue: bool = False


class VerificationView(Model):
    """An invoice rated again from the ledger; ``difference`` is 0 when it holds."""

    holds: bool
    difference: Money
    faults: list[str]
