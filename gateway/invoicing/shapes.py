"""Invoices in the public form of CONTRACT: ids, money as strings, periods, RFC 3339 times."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from gateway.billing.pricing.model import Step
from gateway.billing.wording import describe_step
from gateway.invoicing.account import Account
from gateway.invoicing.changing import Changing
from gateway.invoicing.composing import Composed
from gateway.invoicing.verifying import Verification
from gateway.invoicing.what_if import Comparison
from gateway.money import EXACT, Money
from gateway.period import from_us, to_us
from gateway.storage.billing_values import CreditNoteRow, InvoiceRow, LineRow, SubscriptionRow

Json = dict[str, Any]


def money(amount: str | Decimal, currency: str) -> dict[str, str]:
    """``{"amount": "12.34", "currency": "USD"}``."""
    return Money(Decimal(amount), currency).to_json()


def time(us: int | None) -> str | None:
    """RFC 3339, UTC."""
    return None if us is None else from_us(us).isoformat().replace("+00:00", "Z")


def row_json(row: InvoiceRow) -> Json:
    """An invoice without its lines."""
    total, paid = Decimal(row.total), Decimal(row.paid)
    due = (
        max(Decimal(0), EXACT.subtract(total, paid)) if row.state in ("draft", "open", "uncollectible") else Decimal(0)
    )
    return {
        "id": row.id,
        "number": row.number,
        "tenant": row.tenant,
        "subscription": row.subscription,
        "reason": row.reason,
        "state": row.state,
        "period": {"start": time(row.start_us), "end": time(row.end_us)},
        "subtotal": money(row.subtotal, row.currency),
        "credited": money(row.credited, row.currency),
        "tax": money(row.tax, row.currency),
        "total": money(row.total, row.currency),
        "paid": money(row.paid, row.currency),
        "due": money(due, row.currency),
        "watermark": row.watermark,
        "created_at": time(row.created_us),
        "finalized_at": time(row.finalized_us),
        "due_at": time(row.due_us),
        "closed_at": time(row.closed_us),
        "replaces": row.replaces,
        "replaced_by": row.replaced_by,
    }


def invoice_json(row: InvoiceRow, lines: Iterable[LineRow]) -> Json:
    """An invoice with its lines, taxes, seller and customer as they were."""
    document = row.document
    return row_json(row) | {
        "lines": [line_json(line, row.currency) for line in lines],
        "taxes": document["taxes"],
        "tax_inclusive": document["rules"]["inclusive"],
        "exempt": document["rules"]["exempt"],
        "seller": document["seller"],
        "customer": document["customer"],
        "timezone": document["timezone"],
        "locale": document.get("locale", ""),
    }


def composed_json(account: Account, composed: Composed) -> Json:
    """A preview: an invoice that is in no book."""
    inputs, currency = composed.inputs, composed.inputs.currency
    return {
        "tenant": inputs.tenant,
        "subscription": account.row.id,
        "plan": account.phases[-1].plan,
        "reason": inputs.reason,
        "period": {"start": time(to_us(inputs.period.start)), "end": time(to_us(inputs.period.end))},
        **{name: money(amount, currency) for name, amount in composed.amounts.items()},
        "watermark": inputs.watermark,
        "lines": [line_json(line, currency) for line in composed.lines("")],
        "taxes": composed.document({})["taxes"],
    }


def line_json(line: LineRow, currency: str) -> Json:
    """A line: what, how much, exact and rounded, step by step."""
    return {
        "kind": line.kind,
        "description": line.description,
        "meter": line.meter or None,
        "quantity": line.quantity,
        "exact": line.exact,
        "amount": money(line.amount, currency),
        "period": None if line.start_us is None else {"start": time(line.start_us), "end": time(line.end_us)},
        "charge": line.charge,
        "tiers": line.steps,
        "explained": explained(line, currency) if line.kind in ("usage", "correction") else [],
    }


def explained(line: LineRow, currency: str) -> list[str]:
    """The steps of a line in words."""
    return [describe_step(_step(step), currency) for step in line.steps]


def note_json(note: CreditNoteRow) -> Json:
    """A credit note."""
    return {
        "id": note.id,
        "number": note.number,
        "tenant": note.tenant,
        "invoice": note.invoice,
        "subtotal": money(note.subtotal, note.currency),
        "tax": money(note.tax, note.currency),
        "total": money(note.total, note.currency),
        "reason": note.reason,
        "created_at": time(note.at_us),
    }


def subscription_json(row: SubscriptionRow) -> Json:
    """A subscription; ``change`` is what waits for the period's end."""
    return {
        "id": row.id,
        "tenant": row.tenant,
        "plan": row.plan,
        "version": row.version,
        "cycle": row.cycle,
        "quantity": row.quantity,
        "state": row.state,
        "anchor": row.anchor,
        "timezone": row.timezone,
        "start_at": time(row.start_us),
        "trial_end_at": time(row.trial_end_us),
        "billed_until": time(row.billed_until_us),
        "cancel_at": time(row.cancel_at_us),
        "canceled_at": time(row.canceled_us),
        "pinned": row.pinned,
        "change": row.change,
    }


def comparison_json(found: Comparison) -> Json:
    """A tenant's month by its own prices and by another plan's."""
    more, currency = found.difference, found.then.inputs.currency
    return {
        "tenant": found.tenant,
        "plan": found.plan,
        "period": {"start": time(to_us(found.period.start)), "end": time(to_us(found.period.end))},
        "now": _composed_amounts(found.now),
        "then": _composed_amounts(found.then),
        "difference": None if more is None else money(more, currency),
    }


def _composed_amounts(composed: Composed) -> Json:
    currency = composed.inputs.currency
    return {name: money(amount, currency) for name, amount in composed.amounts.items()} | {
        "lines": [line_json(line, currency) for line in composed.lines("")]
    }


def changing_json(found: Changing) -> Json:
    """A change of plan, cycle or seats: from when, and what it costs now."""
    composed = found.composed
    return {
        "plan": found.phase.plan,
        "cycle": found.phase.cycle,
        "quantity": found.phase.quantity,
        "when": found.when,
        "effective_at": time(found.effective_us),
        "total": None if composed is None else money(composed.amounts["total"], composed.inputs.currency),
        "lines": [] if composed is None else [line_json(one, composed.inputs.currency) for one in composed.lines("")],
    }


def verification_json(found: Verification) -> Json:
    """What rating anew came to."""
    row = found.invoice
    return {
        "id": row.id,
        "number": row.number,
        "tenant": row.tenant,
        "total": money(row.total, row.currency),
        "again": found.again.to_json(),
        "difference": found.difference.to_json(),
        "holds": found.holds,
        "faults": list(found.faults),
    }


def _step(stored: Json) -> Step:
    def number(name: str) -> Decimal | None:
        return None if stored[name] is None else Decimal(stored[name])

    quantity, unit, amount = (Decimal(stored[name]) for name in ("quantity", "unit", "amount"))
    return Step(stored["kind"], quantity, unit, amount, number("above"), number("up_to"), number("size"))
