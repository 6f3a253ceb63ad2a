"""Invoices: their states, the composition of a draft from its inputs, and its totals. Pure: the same inputs, the same
invoice, which is what `verify` relies on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Literal

from gateway.billing.credit import Draw, Grant, draw
from gateway.billing.line import Line
from gateway.billing.tax import TaxLine, TaxRules, taxes
from gateway.errors import GatewayError
from gateway.money import Money
from gateway.period import Period

Reason = Literal["cycle", "start", "change", "correction", "manual"]


class InvoiceState(StrEnum):
    """``draft`` may change; every other state is immutable in all but the state itself."""

    DRAFT = "draft"
    OPEN = "open"
    PAID = "paid"
    VOID = "void"
    UNCOLLECTIBLE = "uncollectible"


class InvoiceTrigger(StrEnum):
    """What happened to an invoice."""

    FINALIZE = "finalize"
    FINALIZE_ZERO = "finalize_zero"
    PAY = "pay"
    VOID = "void"
    WRITE_OFF = "write_off"


INVOICE_TRANSITIONS: dict[tuple[InvoiceState, InvoiceTrigger], InvoiceState] = {
    (InvoiceState.DRAFT, InvoiceTrigger.FINALIZE): InvoiceState.OPEN,
    (InvoiceState.DRAFT, InvoiceTrigger.FINALIZE_ZERO): InvoiceState.PAID,
    (InvoiceState.OPEN, InvoiceTrigger.PAY): InvoiceState.PAID,
    (InvoiceState.OPEN, InvoiceTrigger.VOID): InvoiceState.VOID,
    (InvoiceState.OPEN, InvoiceTrigger.WRITE_OFF): InvoiceState.UNCOLLECTIBLE,
    (InvoiceState.UNCOLLECTIBLE, InvoiceTrigger.PAY): InvoiceState.PAID,
    (InvoiceState.UNCOLLECTIBLE, InvoiceTrigger.VOID): InvoiceState.VOID,
}
"""The only way to change an invoice's state. A draft that is not wanted is deleted: it has no number yet."""


class InvoiceTransitionError(GatewayError):
    """The trigger means nothing in this state."""

    def __init__(self, state: InvoiceState, trigger: InvoiceTrigger) -> None:
        super().__init__(f"an invoice that is {state} cannot {trigger}")
        self.state, self.trigger = state, trigger


def invoice_transition(state: InvoiceState, trigger: InvoiceTrigger) -> InvoiceState:
    """The next state, by the table; raises ``InvoiceTransitionError``."""
    try:
        return INVOICE_TRANSITIONS[state, trigger]
    except KeyError:
        raise InvoiceTransitionError(state, trigger) from None


@dataclass(frozen=True, slots=True)
class Totals:
    """``subtotal`` − credits (+ tax, unless it is inside) = ``total``; ``due`` is never negative.

    ``carried`` is what a negative total leaves to the tenant as credit.
    """

    subtotal: Money
    draws: tuple[Draw, ...]
    credited: Money
    taxes: tuple[TaxLine, ...]
    tax: Money
    total: Money

    @property
    def due(self) -> Money:
        return max(self.total, Money.zero(self.total.currency))

    @property
    def carried(self) -> Money:
        return max(-self.total, Money.zero(self.total.currency))


def totals_of(lines: Sequence[Line], currency: str, rules: TaxRules, grants: Sequence[Grant], at: datetime) -> Totals:
    """Rounded lines, less credits, plus rounded tax: in this order (SEMANTICS §34, §35)."""
    amounts = [line.amount for line in lines]
    subtotal = Money.total(amounts, currency)
    left, draws = draw(subtotal, grants, at)
    credited = subtotal - left
    taxed = [*amounts, -credited] if draws else amounts
    found = taxes(taxed, rules, currency)
    tax = Money.total((line.amount for line in found), currency)
    return Totals(subtotal, draws, credited, found, tax, left if rules.inclusive else left + tax)


@dataclass(frozen=True, slots=True)
class Draft:
    """Everything that decides an invoice, and what came of it.

    ``watermark`` is the ledger's posting sequence up to which usage was read (SEMANTICS §29).
    """

    tenant: str
    subscription: str
    reason: Reason
    period: Period
    versions: tuple[str, ...]
    currency: str
    lines: tuple[Line, ...]
    rules: TaxRules
    totals: Totals
    watermark: int = 0

    @property
    def finalizing(self) -> InvoiceTrigger:
        """Zero totals finalise as paid and are not mailed (SEMANTICS §36)."""
        return InvoiceTrigger.FINALIZE if self.totals.due.amount else InvoiceTrigger.FINALIZE_ZERO


def compose(
    tenant: str,
    subscription: str,
    reason: Reason,
    period: Period,
    lines: Sequence[Line],
    currency: str,
    *,
    versions: Sequence[str] = (),
    rules: TaxRules | None = None,
    grants: Sequence[Grant] = (),
    at: datetime,
    watermark: int = 0,
) -> Draft:
    """An invoice from its inputs; ``at`` decides which credits are still usable."""
    used = rules or TaxRules()
    totals = totals_of(lines, currency, used, grants, at)
    return Draft(tenant, subscription, reason, period, tuple(versions), currency, tuple(lines), used, totals, watermark)
