"""From a line of an invoice down to the calls behind it: the same rows, up to the same watermark, the same sum."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from gateway.billing.items import Charged, CorrectionItem, UsageItem, lines_of
from gateway.invoicing.composing import inputs_of
from gateway.invoicing.cycle import counted
from gateway.invoicing.notes import NoteDesk
from gateway.invoicing.office import InvoiceError, NotFound
from gateway.money import EXACT
from gateway.period import to_us
from gateway.storage import billing_schema as schema
from gateway.storage.billing import Books
from gateway.storage.billing_values import InvoiceRow, LineRow
from gateway.storage.ports import Scope
from gateway.storage.slices import Span
from gateway.storage.values import CallFilter


@dataclass(frozen=True, slots=True)
class Behind:
    """What a line counted. ``calls`` finds the rows and ``listed`` is their sum.

    ``elsewhere`` are the units of events from outside and of calls whose rows were pruned. Together they are the line's
    quantity; ``difference`` is what is not.
    """

    invoice: InvoiceRow
    line: LineRow
    calls: CallFilter
    listed: int
    elsewhere: int

    @property
    def difference(self) -> Decimal:
        return EXACT.subtract(Decimal(self.line.quantity), Decimal(self.listed + self.elsewhere))


class DrillDesk(NoteDesk):
    """What is behind a line."""

    async def behind(self, scope: Scope, invoice: str, place: int) -> Behind:
        """The calls that line ``place`` (1 is the first) counted; raises ``InvoiceError`` for a line without usage."""
        async with self.billing.read(scope) as books:
            row = await self.find(books, invoice)
            table = schema.invoice_lines.c
            line = await books.one(LineRow, table.invoice == row.id, table.place == place)
            if line is None:
                raise NotFound(f"{row.number or row.id} has no line {place}")
            item = _item_of(row, line)
            span = Span(to_us(item.served.start), to_us(item.served.end))
            since = await _counted_before(books, row, line)
            listed = (await books.units_listed(row.tenant, span, (since, row.watermark))).get(line.meter, 0)
            whole = await _units(books, row.tenant, item, row.watermark, line.meter)
            before = await _units(books, row.tenant, item, since, line.meter) if since else 0
        wanted = CallFilter(
            tenant=row.tenant, since_us=span.start_us, until_us=span.end_us, meter=line.meter, billable=True,
            posted=(since, row.watermark),
        )  # fmt: skip
        return Behind(row, line, wanted, listed, whole - before - listed)


async def _units(books: Books, tenant: str, item: UsageItem, watermark: int, meter: str) -> int:
    units: Mapping[str, int | Decimal] = (await counted(books, tenant, item, watermark)).usage.units
    return int(units.get(meter, 0))


def _item_of(row: InvoiceRow, line: LineRow) -> UsageItem:
    """The item whose usage the line counted: the one that makes a line of this charge and period."""
    if line.kind not in ("usage", "correction"):
        raise InvoiceError(f"line {line.place} of {row.number or row.id} counts no usage")
    for item in inputs_of(row).items:
        usage = item.item if isinstance(item, CorrectionItem) else item
        if isinstance(usage, UsageItem) and any(_same(one, line) for one in lines_of(item)):
            return usage
    raise InvoiceError(f"line {line.place} of {row.number or row.id} has no usage stored beside it")


def _same(one: Charged, line: LineRow) -> bool:
    period = one.line.period
    start = None if period is None else to_us(period.start)
    return (one.charge, one.line.kind, start) == (line.charge, line.kind, line.start_us)


async def _counted_before(books: Books, row: InvoiceRow, line: LineRow) -> int:
    """Up to which posting earlier lines of the same charge had looked; 0 for the first."""
    if line.kind != "correction":
        return 0
    lines, invoices = schema.invoice_lines.c, schema.invoices.c
    of_charge = (lines.subscription == line.subscription, lines.charge == line.charge)
    earlier = [one.invoice for one in await books.find(LineRow, *of_charge, lines.invoice != row.id)]
    final = (invoices.id.in_(earlier), invoices.state.not_in(("draft", "void")), invoices.watermark < row.watermark)
    return max((one.watermark for one in await books.find(InvoiceRow, *final)), default=0)
