"""Σ billable = invoiced + not yet invoiced (SEMANTICS §30): what final invoices charge, against the ledger.

The invoices of a subscription have looked at all postings up to one watermark. Up to it, usage and correction lines of
a charge add up to the ledger's units; later postings are not invoiced yet, nor are drafts and what no cycle has closed.
No time may be on two invoices, and none that was closed on no invoice: it would never be on one.
"""

import math
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from gateway.billing.items import UsageItem, usage_charges
from gateway.invoicing.codec import item_from_json
from gateway.invoicing.cycle import FINAL, counted
from gateway.money import EXACT, ZERO
from gateway.period import to_us
from gateway.storage import billing_schema as schema
from gateway.storage.billing import Books
from gateway.storage.billing_rows import PARAMETERS
from gateway.storage.billing_values import InvoiceRow, SubscriptionRow
from gateway.storage.slices import Span


@dataclass(frozen=True, slots=True)
class Charge:
    """Units of a meter that the ledger has for one charge up to the watermark, and those that invoices charge.

    ``invoice`` is the number of the one that billed its period. ``units`` is 0 for time that is on a second one, and
    ``invoiced`` for time that was left out after the one named.
    """

    invoice: str
    tenant: str
    meter: str
    units: int
    invoiced: int


@dataclass(frozen=True, slots=True)
class _Usage:
    """A usage item of an invoice."""

    row: InvoiceRow
    item: UsageItem

    @property
    def span(self) -> Span:
        return Span(to_us(self.item.served.start), to_us(self.item.served.end))


async def charges(books: Books, ended_us: int) -> AsyncIterator[Charge]:
    """Every charge for usage of final cycles that ended at ``ended_us`` or later, and units that are on two or on none
    of their invoices."""
    table = schema.invoices.c
    where = (table.reason == "cycle", table.replaced_by.is_(None), table.end_us >= ended_us)
    owners = await books.billed_tenants(*where)
    for first in range(0, len(owners), PARAMETERS):
        mine = table.tenant.in_(owners[first : first + PARAMETERS])
        rows = await books.find(InvoiceRow, *where, mine, order=(table.tenant, table.start_us, table.id))
        usages = [usage for row in rows if row.state in FINAL for usage in _usages(row)]
        async for charge in _charged(books, usages):
            yield charge
        async for charge in _twice(books, usages):
            yield charge
        async for charge in _left_out(books, rows):
            yield charge


def _usages(row: InvoiceRow) -> Iterator[_Usage]:
    for stored in row.document["items"]:
        if stored["type"] == "usage":
            item = item_from_json(stored)
            assert isinstance(item, UsageItem)
            yield _Usage(row, item)


async def _charged(books: Books, usages: Sequence[_Usage]) -> AsyncIterator[Charge]:
    """The lines of each charge against the ledger; months that tenants share are counted together."""
    subscriptions = sorted({usage.row.subscription for usage in usages})
    watermarks = {
        subscription: watermark
        for first in range(0, len(subscriptions), PARAMETERS)
        for subscription, watermark in (await books.watermarks(subscriptions[first : first + PARAMETERS])).items()
    }
    by_span = defaultdict[Span, list[_Usage]](list)
    for usage in usages:
        by_span[usage.span].append(usage)
    for span, those in by_span.items():
        billed = await books.billed_quantities([usage.row.subscription for usage in those], span.start_us)
        owners = sorted({usage.row.tenant for usage in those})
        meters = sorted({meter for usage in those for meter in usage.item.aggregates})
        head = await books.watermark()
        await books.foresee({span: owners}, head, meters)
        await books.foresee_late(owners, span, min(watermarks[usage.row.subscription] for usage in those))
        for usage in those:
            tenant, seen = usage.row.tenant, watermarks[usage.row.subscription]
            late = await books.late_since(tenant, span, seen) is not None
            again = await counted(books, tenant, usage.item, seen if late else head)
            for found in _compared(usage, again, billed):
                yield found


def _compared(
    usage: _Usage, again: UsageItem, billed: Mapping[tuple[str, str], tuple[Decimal, Decimal]]
) -> Iterator[Charge]:
    row = usage.row
    for charge, price in usage_charges(usage.item):
        final, taken_back = billed.get((row.subscription, charge), (ZERO, ZERO))
        units = again.usage.quantity(price.meter)
        if EXACT.add(final, taken_back) == units:  # a void invoice had the rest: a person gave it back
            final = units
        whole = math.ceil(final) if final > units else math.floor(final)
        yield Charge(row.number or row.id, row.tenant, price.meter, int(units), whole)


async def _twice(books: Books, usages: Sequence[_Usage]) -> AsyncIterator[Charge]:
    """Units of time that two usage items of a tenant serve."""
    before: _Usage | None = None
    for usage in sorted(usages, key=lambda one: (one.row.tenant, one.span.start_us)):
        if before is not None and before.row.tenant == usage.row.tenant:
            until_us = min(before.span.end_us, usage.span.end_us)
            if usage.span.start_us < until_us:
                shared = Span(usage.span.start_us, until_us)
                for meter, units in (await books.units(usage.row.tenant, shared, usage.row.watermark, {})).items():
                    numbers = f"{before.row.number or before.row.id} and {usage.row.number or usage.row.id}"
                    yield Charge(numbers, usage.row.tenant, meter, 0, units)
            if until_us == usage.span.end_us:
                continue  # the one before still reaches further
        before = usage


async def _left_out(books: Books, rows: Sequence[InvoiceRow]) -> AsyncIterator[Charge]:
    """Units of time that a subscription's cycles have passed over: each begins where the one before ended."""
    by_subscription = defaultdict[str, list[InvoiceRow]](list)
    for row in rows:
        by_subscription[row.subscription].append(row)
    table, ids = schema.subscriptions.c, sorted(by_subscription)
    for first in range(0, len(ids), PARAMETERS):
        for subscription in await books.find(SubscriptionRow, table.id.in_(ids[first : first + PARAMETERS])):
            cycles = by_subscription[subscription.id]
            nexts = [*(row.start_us for row in cycles[1:]), subscription.billed_until_us or 0]
            for row, next_us in zip(cycles, nexts, strict=True):
                if row.end_us < next_us:
                    gap, head = Span(row.end_us, next_us), await books.watermark()
                    for meter, units in (await books.units(row.tenant, gap, head, {})).items():
                        yield Charge(row.number or row.id, row.tenant, meter, units, 0)
