"""What is left of an invoice's charges once credit notes gave some of it back."""

from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal

from gateway.billing.proration import Share
from gateway.money import DIVIDING, EXACT, ZERO
from gateway.storage import billing_schema as schema
from gateway.storage.billing import Books
from gateway.storage.billing_values import CreditNoteRow, InvoiceRow, LineRow

PARTS = 10**12
"""How finely a share of an invoice is told: far below a cent of any amount."""


async def kept(books: Books, invoices: Iterable[str]) -> dict[str, Share]:
    """The share of their charges that the invoices with credit notes still come to."""
    notes = await books.find(CreditNoteRow, schema.credit_notes.c.invoice.in_(sorted(invoices)))
    given: defaultdict[str, Decimal] = defaultdict(Decimal)
    for note in notes:
        given[note.invoice] = EXACT.add(given[note.invoice], Decimal(note.total))
    if not given:
        return {}
    lines = await books.find(LineRow, schema.invoice_lines.c.invoice.in_(sorted(given)))
    rows = await books.find(InvoiceRow, schema.invoices.c.id.in_(sorted(given)))
    return {row.id: _share(row, [one for one in lines if one.invoice == row.id], given[row.id]) for row in rows}


def _share(row: InvoiceRow, lines: Iterable[LineRow], given: Decimal) -> Share:
    """Notes hold tax and credits hold none: in proportion to the total, of what the charges above zero come to."""
    charges: defaultdict[str, Decimal] = defaultdict(Decimal)
    for line in lines:
        charges[line.charge] = EXACT.add(charges[line.charge], Decimal(line.amount))
    charged = sum((max(ZERO, amount) for amount in charges.values()), ZERO)
    net = EXACT.subtract(Decimal(row.subtotal), Decimal(row.credited))
    back = DIVIDING.divide(EXACT.multiply(net, given), Decimal(row.total))
    lost = int(DIVIDING.multiply(DIVIDING.divide(back, charged), Decimal(PARTS)).to_integral_value())
    return Share(PARTS - min(PARTS, max(0, lost)), PARTS)
