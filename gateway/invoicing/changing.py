"""Changes of plan, cycle or seats: the credit for what was charged, the rest at the new price (SEMANTICS §37)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from gateway.billing.change import When
from gateway.billing.items import CreditItem, FeeItem, Item, lines_of
from gateway.billing.proration import FULL, Share
from gateway.billing.subscription import State, Trigger
from gateway.ids import new_id
from gateway.invoicing.account import Account
from gateway.invoicing.codec import item_from_json, item_to_json
from gateway.invoicing.composing import Composed, line_row
from gateway.invoicing.cycle import FINAL, Context, fee_item, plan_of
from gateway.invoicing.kept import kept
from gateway.invoicing.making import Making, put_invoice
from gateway.invoicing.office import InvoiceError
from gateway.invoicing.outcome import Outcome
from gateway.invoicing.steps import Now, compose_for, follow, move, owing, update
from gateway.money import EXACT, ZERO, Money, round_amount
from gateway.period import Period, from_us, to_us
from gateway.storage import billing_schema as schema
from gateway.storage.billing import Books
from gateway.storage.billing_values import InvoiceRow, LineRow, PendingRow, PhaseRow

FEE = "fee/"


class ManagedByConfig(InvoiceError):
    """The configuration owns the tenant's plan (SEMANTICS §32): change it there."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a subscription shall become; what is empty stays."""

    plan: str = ""
    cycle: str = ""
    quantity: int = 0


@dataclass(frozen=True, slots=True)
class Changing:
    """A change as previewed and as done. ``effective_us``: from when on; ``composed``: what it costs, if anything."""

    phase: PhaseRow
    when: When
    effective_us: int
    items: tuple[Item, ...]
    composed: Composed | None


async def plan_change(
    books: Books, account: Account, target: Target, when: When, now: Now, context: Context
) -> Changing:
    """What a change comes to; nothing is written. Raises ``InvoiceError`` when it cannot be."""
    phase = _target(account, target, now, context)
    if account.row.state in (State.CANCELED, State.SUSPENDED, State.PAUSED):
        raise InvoiceError(f"a subscription that is {account.row.state} cannot change its plan")
    if when == "period_end" and account.row.billed_until_us is not None:
        moment = from_us(max(now.us, account.begins_us))
        current = account.phase(now.us)
        period = account.schedule.year(moment) if current.cycle == "year" else account.schedule.month(moment)
        end_us = to_us(period.end)
        return Changing(replace(phase, start_us=end_us), when, end_us, (), None)
    if account.row.billed_until_us is None:  # nothing was charged yet
        return Changing(replace(phase, start_us=max(now.us, account.row.start_us)), "now", now.us, (), None)
    charged = await living_fees(books, account, now.us)
    left = await kept(books, {line.invoice for lines in charged.values() for line in lines})
    credits = [_credit(lines, left, account, now, context) for lines in charged.values()]
    after = replace(account, phases=(*account.phases, phase))
    items: tuple[Item, ...] = (*credits, fee_item(after, phase, now.us, context, change=True))
    month = account.schedule.month(from_us(now.us))
    composed = compose_for(account, "change", Period(from_us(now.us), month.end), list(items), 0, now.us, context)
    return Changing(phase, when, now.us, items, composed)


def change_outcome(account: Account, found: Changing, now: Now, context: Context) -> Outcome:
    """The changes of the books that do what was previewed."""
    outcome, phase = Outcome(), found.phase
    if found.when == "period_end" and account.row.billed_until_us is not None:
        waiting = {"plan": phase.plan, "cycle": phase.cycle, "quantity": phase.quantity}
        update(outcome, account, now, context, "subscription.change", change=waiting)
        return outcome
    outcome.rephased += [one for one in account.phases if one.start_us == phase.start_us]
    outcome.added.append(phase)
    if found.composed is not None and found.when == "now" and found.composed.charged:
        made = put_invoice(outcome, account, found.composed, None, Making(context.settings, now.us, now.actor, now.us))
        account = owing(account, made)
    elif found.items:
        for place, item in enumerate(found.items):  # in this order they stand on the invoice
            id, stored = new_id("itm", now.us), item_to_json(item)
            outcome.added.append(PendingRow(id, account.row.tenant, account.row.id, stored, now.us + place))
    before = tuple(one for one in account.phases if one.start_us != phase.start_us)
    account = replace(account, phases=(*before, phase))
    fields = {"plan": phase.plan, "version": phase.version, "cycle": phase.cycle, "quantity": phase.quantity}
    update(outcome, account, now, context, "subscription.change", change=None, **fields)
    follow(outcome, account, phase.plan, phase.cycle)
    return outcome


async def resume_outcome(books: Books, account: Account, now: Now, context: Context) -> Outcome:
    """Serve again after a pause. Fees that fell due meanwhile were not charged: the rest of their period is now."""
    outcome = Outcome()
    if account.row.state == State.PAUSED and (missing := await _missed(books, account, now, context)) is not None:
        period = Period(from_us(now.us), missing.month.end)
        composed = compose_for(account, "change", period, [missing], 0, now.us, context)
        if composed.charged:
            making = Making(context.settings, now.us, now.actor, now.us)
            account = owing(account, put_invoice(outcome, account, composed, None, making))
    outcome.then(move(account, Trigger.RESUME, now, context))
    return outcome


async def _missed(books: Books, account: Account, now: Now, context: Context) -> FeeItem | None:
    """The fees that nobody charged for the present period; None when all were."""
    if account.row.billed_until_us is None:
        return None
    lines = [line for group in (await living_fees(books, account, now.us)).values() for line in group]
    fees = fee_item(account, account.phase(now.us), now.us, context, change=True)
    if not lines:
        return fees
    this_month = any(line.start_us is not None and line.start_us >= to_us(fees.month.start) for line in lines)
    # Of a year that is paid for, the months that began in a pause lack what is due monthly.
    return None if this_month or fees.cycle == "month" else replace(fees, change=False)


async def living_fees(books: Books, account: Account, at_us: int) -> dict[str, list[LineRow]]:
    """The lines that charged for a period that holds ``at_us``, by charge; those credited since are left out."""
    table = schema.invoices.c
    rows = await books.find(InvoiceRow, table.subscription == account.row.id, table.state.in_((*FINAL, "draft")))
    closed = account.closed_draft
    counted = {row.id for row in rows if row.state != "draft" or (closed is not None and row.id == closed.id)}
    lines = schema.invoice_lines.c
    where = (lines.subscription == account.row.id, lines.charge.startswith(FEE))
    found: dict[str, list[LineRow]] = {}
    for line in await books.find(LineRow, *where, order=(lines.invoice, lines.place)):
        if line.invoice in counted:
            found.setdefault(line.charge, []).append(line)
    for place, pending in enumerate(account.pending):
        item = item_from_json(pending.item)
        if isinstance(item, CreditItem):
            found.pop(item.charge, None)
            continue
        for one in lines_of(item):  # it will be charged with the next invoice, unless that is a draft already
            if one.charge.startswith(FEE) and not any(line.invoice in counted for line in found.get(one.charge, ())):
                row = line_row("", place, account.row.tenant, account.row.id, one)
                found.setdefault(one.charge, []).append(row)
    return {
        charge: group
        for charge, group in found.items()
        if not any(line.kind == "credit" for line in group) and _holds(group, at_us)
    }


def _holds(lines: Sequence[LineRow], at_us: int) -> bool:
    return any(
        line.start_us is not None and line.end_us is not None and line.start_us <= at_us < line.end_us for line in lines
    )


def _credit(
    lines: Sequence[LineRow], left: Mapping[str, Share], account: Account, now: Now, context: Context
) -> CreditItem:
    """The unused rest of what one fee really was: its discount, and what credit notes gave back, are taken off."""
    currency = plan_of(account, account.phase(now.us), context).currency
    amount, first = ZERO, lines[0]
    for line in lines:
        amount = EXACT.add(amount, left.get(line.invoice, FULL).of(Decimal(line.amount)))
    assert first.start_us is not None
    assert first.end_us is not None
    period, by = Period(from_us(first.start_us), from_us(first.end_us)), context.settings.proration
    name = first.description.removeprefix("Remaining time of ")
    return CreditItem(
        first.charge, name, Money(round_amount(amount, currency), currency), period, from_us(now.us), account.zone, by
    )


def _target(account: Account, target: Target, now: Now, context: Context) -> PhaseRow:
    phase = account.phase(max(now.us, account.row.start_us))
    plan = target.plan or phase.plan
    newest = context.catalogue.newest(context.settings.key(plan, account.row.tenant), now.us)
    if newest is None:
        raise InvoiceError(f"there is no plan {plan}")
    if newest.currency != plan_of(account, phase, context).currency:
        raise InvoiceError(f"plan {plan} is in {newest.currency}: one subscription has one currency")
    cycle, quantity = target.cycle or phase.cycle, target.quantity or phase.quantity
    if cycle not in ("month", "year"):
        raise InvoiceError("a subscription is billed by month or year")
    if quantity < 1:
        raise InvoiceError("a subscription has at least one seat")
    # Seats alone change at the price that is being paid; another plan is sold at its newest.
    version = phase.version if plan == phase.plan else newest.version
    made = replace(phase, start_us=now.us, plan=plan, version=version, cycle=cycle, quantity=quantity)
    if replace(made, start_us=phase.start_us) == phase and account.row.change is None:
        raise InvoiceError("nothing changes")
    return made
