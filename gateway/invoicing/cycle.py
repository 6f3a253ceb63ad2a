"""What a cycle is billed for: usage in arrears, late usage of earlier cycles, fees in advance (SEMANTICS §36)."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import cast

from gateway.billing.bill import MeteredUsage
from gateway.billing.catalog import Cycle, Plan
from gateway.billing.items import Billed, CorrectionItem, FeeItem, Item, UsageItem, usage_charges
from gateway.billing.subscription import State
from gateway.clock import DAY_US
from gateway.invoicing.account import Account
from gateway.invoicing.catalogue import Catalogue
from gateway.invoicing.codec import item_from_json
from gateway.invoicing.settings import BillingSettings
from gateway.money import EXACT, ZERO
from gateway.period import Period, from_us, to_us
from gateway.storage import billing_schema as schema
from gateway.storage.billing import Books
from gateway.storage.billing_values import InvoiceRow, LineRow, PhaseRow
from gateway.storage.events import Aggregate
from gateway.storage.slices import Span

LATE_US = 400 * DAY_US
"""How far back late usage is looked for."""

FINAL = ("open", "paid", "uncollectible")
"""The states of an invoice that charges."""


@dataclass(frozen=True, slots=True)
class Context:
    """What every composition needs besides the books."""

    catalogue: Catalogue
    settings: BillingSettings


def plan_of(account: Account, phase: PhaseRow, context: Context) -> Plan:
    """The prices of a phase."""
    return context.catalogue.plan(phase.plan, phase.version)


def next_phase(account: Account, at_us: int, context: Context) -> PhaseRow:
    """By which prices the period from ``at_us`` is served: a change that waited, the newest version, or as before."""
    phase = account.phase(at_us)
    renews = phase.cycle == "month" or account.schedule.renews(_month(account, at_us))
    change = account.row.change if renews else None
    if change is not None:
        plan, cycle, quantity = change["plan"], change["cycle"], change["quantity"]
        phase = replace(phase, start_us=at_us, plan=plan, cycle=cycle, quantity=quantity)
    elif account.row.pinned or not renews:
        return phase
    newest = context.catalogue.newest(context.settings.key(phase.plan, account.row.tenant), at_us)
    if newest is None or newest.currency != plan_of(account, account.phase(at_us), context).currency:
        return account.phase(at_us)  # SEMANTICS §38: one subscription, one currency
    if change is None and newest.version == phase.version:
        return phase
    return replace(phase, start_us=at_us, version=newest.version)


def fee_item(
    account: Account, phase: PhaseRow, at_us: int, context: Context, *, first: bool = False, change: bool = False
) -> FeeItem:
    """The fees from ``at_us`` to the end of its month or year."""
    moment = from_us(at_us)
    return FeeItem(
        plan=plan_of(account, phase, context),
        cycle=cast(Cycle, phase.cycle),
        quantity=phase.quantity,
        month=account.schedule.month(moment),
        year=account.schedule.year(moment),
        since=moment,
        age=account.age(at_us),
        zone=account.zone,
        first=first,
        change=change,
        by=context.settings.proration,
    )


async def cycle_items(
    books: Books,
    account: Account,
    period: Period,
    watermark: int,
    context: Context,
    fees: Sequence[FeeItem] | None = None,
) -> list[Item]:
    """The items of the cycle ``period``, of usage posted up to ``watermark``.

    ``fees``: those of the next period that were settled when the cycle closed; None: as they would be now.
    """
    items: list[Item] = [
        await usage_item(books, account, phase, served, watermark, context)
        for phase, served in account.segments(period)
    ]
    items += await correction_items(books, account, to_us(period.start), watermark)
    items += [item_from_json(pending.item) for pending in account.pending]
    if fees is not None:
        return [*items, *fees]
    end_us = to_us(period.end)
    ends = account.row.cancel_at_us is not None and account.row.cancel_at_us <= end_us
    if not ends and account.row.state not in (State.PAUSED, State.CANCELED):
        phase = next_phase(account, end_us, context)
        # A cycle that changes in mid-year begins with the rest of the year.
        items.append(fee_item(account, phase, end_us, context, change=phase.cycle != account.phase(end_us - 1).cycle))
    return items


async def foresee(books: Books, accounts: Iterable[Account], now_us: int, context: Context) -> None:
    """Count in a few queries what the cycles that are over will ask for one by one."""
    wanted, looks = defaultdict[Span, list[str]](list), list[tuple[str, Span, int]]()
    for account in accounts:
        with suppress(LookupError, ValueError):  # what is wrong with it is told when it is its turn
            for span in (spans := _due_spans(account, now_us)):
                wanted[span].append(account.row.tenant)
            if spans and account.watermark is not None:
                before_us = spans[0].start_us
                looks.append((account.row.tenant, _late_span(account, before_us), account.watermark))
    if wanted:
        await books.foresee(wanted, await books.watermark(), context.settings.event_meters())
    if looks:
        whole = Span(min(span.start_us for _, span, _ in looks), max(span.end_us for _, span, _ in looks))
        await books.foresee_late([tenant for tenant, _, _ in looks], whole, min(after for _, _, after in looks))


def _late_span(account: Account, before_us: int) -> Span:
    return Span(max(account.begins_us, before_us - LATE_US), before_us)


def _due_spans(account: Account, now_us: int) -> list[Span]:
    draft = account.closed_draft
    if draft is not None:
        cycle = Period(from_us(draft.start_us), from_us(draft.end_us))
    elif account.row.billed_until_us is not None and account.row.state != State.CANCELED:
        cycle = account.cycle
    else:
        return []
    over = to_us(cycle.end) <= now_us
    return [Span(to_us(served.start), to_us(served.end)) for _, served in account.segments(cycle)] if over else []


async def usage_item(
    books: Books, account: Account, phase: PhaseRow, served: Period, watermark: int, context: Context
) -> UsageItem:
    """Usage of one phase within a month."""
    plan = plan_of(account, phase, context)
    item = UsageItem(
        plan=plan,
        month=account.schedule.month(served.start),
        served=served,
        age=account.age(to_us(served.start)),
        zone=account.zone,
        usage=MeteredUsage({}),
        aggregates=context.settings.aggregates(plan),
        by=context.settings.proration,
    )
    return await counted(books, account.row.tenant, item, watermark)


async def counted(books: Books, tenant: str, item: UsageItem, watermark: int) -> UsageItem:
    """The item with the ledger's usage up to ``watermark``."""
    span = Span(to_us(item.served.start), to_us(item.served.end))
    aggregates = cast(dict[str, Aggregate], dict(item.aggregates))
    return replace(item, usage=MeteredUsage(await books.units(tenant, span, watermark, aggregates), item.usage.events))


async def correction_items(books: Books, account: Account, before_us: int, watermark: int) -> list[CorrectionItem]:
    """Usage of cycles invoiced before that was posted after their watermarks (SEMANTICS §29).

    Every final invoice looked at all postings up to its own watermark; only later ones are new.
    """
    table = schema.invoices
    mine = table.c.subscription == account.row.id
    last = account.watermark
    if last is None or last >= watermark:
        return []
    span = _late_span(account, before_us)
    late_us = await books.late_since(account.row.tenant, span, last) if span.start_us < span.end_us else None
    if late_us is None:
        return []
    earlier = await books.find(InvoiceRow, mine, table.c.state.in_(FINAL), order=(table.c.start_us, table.c.id))
    billed = await billed_charges(books, account, [invoice.id for invoice in earlier])
    found: list[CorrectionItem] = []
    for invoice in earlier:
        if invoice.reason == "cycle" and invoice.end_us > late_us:
            found += await _corrections(books, invoice, billed, watermark)
    return found


async def billed_charges(books: Books, account: Account, invoices: Iterable[str]) -> dict[str, Billed]:
    """What the lines of these invoices charged, by charge."""
    wanted, billed = set(invoices), dict[str, Billed]()
    for line in await books.find(LineRow, schema.invoice_lines.c.subscription == account.row.id):
        if line.invoice in wanted:
            one = billed.get(line.charge, Billed(ZERO, ZERO))
            quantity = Decimal(line.quantity) if line.kind in ("usage", "correction") else ZERO
            amount = EXACT.add(one.amount, Decimal(line.amount))
            billed[line.charge] = Billed(EXACT.add(one.quantity, quantity), amount)
    return billed


async def _corrections(
    books: Books, invoice: InvoiceRow, billed: dict[str, Billed], watermark: int
) -> list[CorrectionItem]:
    found = []
    for stored in invoice.document["items"]:
        if stored["type"] != "usage":
            continue
        item = item_from_json(stored)
        assert isinstance(item, UsageItem)
        now = await counted(books, invoice.tenant, item, watermark)
        charges = {charge: billed[charge] for charge, _ in usage_charges(item) if charge in billed}
        if any(
            now.usage.quantity(price.meter) != charges.get(charge, Billed(ZERO, ZERO)).quantity
            for charge, price in usage_charges(item)
        ):
            found.append(CorrectionItem(now, charges))
    return found


def _month(account: Account, at_us: int) -> Period:
    return account.schedule.month(from_us(at_us))
