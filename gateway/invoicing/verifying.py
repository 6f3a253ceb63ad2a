"""Verification: an invoice is rated again from its stored inputs and the ledger at its watermark, and compared."""

from dataclasses import dataclass, field, replace
from decimal import Decimal

from gateway.billing.items import CorrectionItem, Item, UsageItem
from gateway.invoicing.composing import Composed, compose_invoice, inputs_of
from gateway.invoicing.cycle import counted
from gateway.money import EXACT, Money
from gateway.storage import billing_schema as schema
from gateway.storage.billing import Books
from gateway.storage.billing_values import InvoiceRow, LineRow


@dataclass(frozen=True, slots=True)
class Verification:
    """``difference`` is what rating anew comes to, less what the invoice says; ``faults`` name what differs."""

    invoice: InvoiceRow
    again: Money
    difference: Money
    faults: tuple[str, ...] = field(default=())

    @property
    def holds(self) -> bool:
        return not self.difference.amount and not self.faults


async def verify_invoice(books: Books, invoice: InvoiceRow) -> Verification:
    """Count the usage again, rate it again, and compare line by line."""
    inputs = inputs_of(invoice)
    faults: list[str] = []
    items = tuple([await _counted(books, item, invoice, faults) for item in inputs.items])
    composed = compose_invoice(replace(inputs, items=items))
    table = schema.invoice_lines.c
    stored = await books.find(LineRow, table.invoice == invoice.id, order=(table.place,))
    faults += _different_lines(composed, invoice, stored)
    for name, value in composed.amounts.items():
        if Decimal(value) != Decimal(getattr(invoice, name)):
            faults.append(f"{name} is {getattr(invoice, name)}, rated again {value}")
    again = composed.draft.totals.total
    difference = Money(EXACT.subtract(again.amount, Decimal(invoice.total)), invoice.currency)
    return Verification(invoice, again, difference, tuple(faults))


async def _counted(books: Books, item: Item, invoice: InvoiceRow, faults: list[str]) -> Item:
    """The item with the ledger's usage at the invoice's watermark."""
    if isinstance(item, CorrectionItem):
        usage = await _counted(books, item.item, invoice, faults)
        assert isinstance(usage, UsageItem)
        return replace(item, item=usage)
    if not isinstance(item, UsageItem):
        return item
    again = await counted(books, invoice.tenant, item, invoice.watermark)
    if dict(again.usage.units) != dict(item.usage.units):
        span = f"from {item.served.start} to {item.served.end}"
        faults.append(f"the ledger has {dict(again.usage.units)} {span}, not {dict(item.usage.units)}")
    return again


def _different_lines(composed: Composed, invoice: InvoiceRow, stored: list[LineRow]) -> list[str]:
    again = composed.lines(invoice.id)
    if len(again) != len(stored):
        return [f"it has {len(stored)} lines, rated again {len(again)}"]
    return [
        f"line {old.place} ({old.description}) differs" for old, new in zip(stored, again, strict=True) if old != new
    ]
