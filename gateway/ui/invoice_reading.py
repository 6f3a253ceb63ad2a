"""Invoices as pages show them: amounts padded to their currency, lines with the steps that made them."""

from collections.abc import Iterable, Mapping
from decimal import Decimal

from gateway.invoicing.composing import Composed
from gateway.invoicing.notes import NOTE
from gateway.invoicing.payments import remaining
from gateway.invoicing.shapes import explained
from gateway.money import Money
from gateway.storage.billing_values import CreditNoteRow, InvoiceRow, LineRow, PaymentRow
from gateway.ui.money_contexts import InvoiceLine, InvoiceSummary, InvoiceView, NoteLine, PaymentLine, TaxView

OWED = ("open", "uncollectible")
CREDITABLE = (*OWED, "paid")


def padded(amount: str | Decimal, currency: str) -> Decimal:
    """The amount with as many decimals as its currency has; never rounded."""
    return Decimal(Money(Decimal(amount), currency).to_json()["amount"])


def summary(row: InvoiceRow, now_us: int) -> InvoiceSummary:
    """One row of a list."""
    late = row.state == "open" and row.due_us is not None and row.due_us <= now_us
    return InvoiceSummary(
        id=row.id,
        number=row.number or "",
        tenant=row.tenant,
        state="overdue" if late else row.state,
        zone=row.document["timezone"],
        start_us=row.start_us,
        end_us=row.end_us,
        due_us=row.due_us,
        currency=row.currency,
        total=padded(row.total, row.currency),
        owed=padded(remaining(row) if row.state in OWED else Decimal(0), row.currency),
    )


def invoice_view(
    row: InvoiceRow,
    lines: Iterable[LineRow],
    payments: Iterable[PaymentRow],
    notes: Iterable[CreditNoteRow],
    base: str,
    now_us: int,
) -> InvoiceView:
    """One invoice with everything on it. What a credit note took off what is owed is told by the note."""
    document, currency = row.document, row.currency
    given = tuple(NoteLine(n.number, n.at_us, n.reason, padded(n.total, currency)) for n in notes)
    left = Decimal(row.total) - sum((note.total for note in given), Decimal(0))
    return InvoiceView(
        base=base,
        head=summary(row, now_us),
        lines=tuple(_line(line, currency) for line in lines),
        subtotal=padded(row.subtotal, currency),
        credited=padded(row.credited, currency),
        taxes=tuple(_tax(tax) for tax in document["taxes"]),
        inclusive=bool(document["rules"]["inclusive"]),
        exempt=str(document["rules"]["exempt"] or ""),
        paid=padded(row.paid, currency),
        payments=tuple(_payment(one) for one in payments if one.provider != NOTE),
        notes=given,
        creditable=padded(left if row.state in CREDITABLE else Decimal(0), currency),
        seller=_words(document["seller"]),
        customer=_words(document["customer"]),
        finalized_us=row.finalized_us,
        finalize_us=row.finalize_us,
        replaces=row.replaces or "",
        replaced_by=row.replaced_by or "",
    )


def preview_lines(composed: Composed) -> tuple[tuple[InvoiceLine, ...], tuple[TaxView, ...]]:
    """The lines and taxes of an invoice that is in no book."""
    lines = tuple(_line(line, composed.inputs.currency) for line in composed.lines(""))
    return lines, tuple(_tax(tax) for tax in composed.document({})["taxes"])


def _line(line: LineRow, currency: str) -> InvoiceLine:
    steps = tuple(explained(line, currency)) if line.kind in ("usage", "correction") else ()
    quantity = f"{Decimal(line.quantity):,f} {line.meter}" if line.meter else ""
    return InvoiceLine(
        line.description, quantity, padded(line.amount, currency), line.start_us, line.end_us, steps, line.place
    )


def _payment(row: PaymentRow) -> PaymentLine:
    reference = "" if row.reference == row.id else row.reference
    return PaymentLine(row.id, row.at_us, reference, padded(row.amount, row.currency), row.kind, row.status, row.note)


def _tax(tax: Mapping[str, str | Mapping[str, str]]) -> TaxView:
    amount = tax["amount"]
    assert isinstance(amount, Mapping)
    return TaxView(str(tax["name"]), str(tax["percent"]), padded(amount["amount"], amount["currency"]))


def _words(block: Mapping[str, object]) -> tuple[tuple[str, str], ...]:
    """What a party says of itself: its name first, its id last."""
    names = sorted(block, key=lambda name: {"name": 0, "id": 2}.get(name, 1))
    return tuple((name, str(block[name])) for name in names if block[name])
