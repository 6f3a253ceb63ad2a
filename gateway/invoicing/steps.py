"""One step of a subscription at a time: what is due, what it changes, and how the account stands after it.

Nothing here writes. All that is due to a subscription is written in one transaction, so a crash leaves it done or not.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from gateway.billing.invoice import Reason
from gateway.billing.items import FeeItem, Item
from gateway.billing.subscription import SERVED, State, Trigger, due, transition
from gateway.clock import DAY_US
from gateway.invoicing.account import FAR_US, Account, TenantFacts
from gateway.invoicing.codec import item_from_json
from gateway.invoicing.composing import Composed, Inputs, compose_invoice, grants_of, inputs_of
from gateway.invoicing.cycle import LATE_US, Context, correction_items, cycle_items, fee_item, next_phase, plan_of
from gateway.invoicing.making import Making, put_invoice
from gateway.invoicing.outcome import Outcome, changes_of
from gateway.period import Period, from_us, to_us
from gateway.storage.billing import Books
from gateway.storage.billing_values import CreditRow, InvoiceRow, PhaseRow, SubscriptionRow
from gateway.storage.values import AuditEntry

BILLING = "billing: "
"""How the reason begins of a suspension that billing set, and may therefore lift."""


class Step(StrEnum):
    """What may be due."""

    STATE = "state"  # time or debt demand another state
    BEGIN = "begin"  # the first fees
    CLOSE = "close"  # a cycle is over
    FINALIZE = "finalize"  # its draft has waited long enough
    CORRECT = "correct"  # it is canceled, and late usage may have come since


@dataclass(frozen=True, slots=True)
class Now:
    """The instant and the person of a step."""

    us: int
    actor: str


def next_step(account: Account, now_us: int, context: Context) -> Step | None:
    """What is due at ``now_us``; None when nothing is."""
    row, draft = account.row, account.closed_draft
    if draft is not None and draft.finalize_us <= now_us:
        return Step.FINALIZE
    if row.state == State.CANCELED:
        looks = draft is None and row.billed_until_us is not None and row.next_us <= now_us
        return Step.CORRECT if looks else None
    if trigger_due(account, now_us, context) is not None:
        return Step.STATE
    if row.state == State.PENDING or account.begins_us > now_us:
        return None
    if row.billed_until_us is None:
        return Step.BEGIN
    return Step.CLOSE if draft is None and to_us(account.cycle.end) <= now_us else None


def trigger_due(account: Account, now_us: int, context: Context) -> Trigger | None:
    """What time and debt demand of its state. A cancellation waits until everything before it is billed."""
    oldest = account.oldest_due_us
    overdue = from_us(oldest) if oldest is not None and oldest <= now_us else None
    subscription = account.subscription()
    begun = account.row.billed_until_us is not None
    if begun and subscription.cancel_at is not None and account.unbilled_us < to_us(subscription.cancel_at):
        subscription = replace(subscription, cancel_at=None)
    return due(subscription, from_us(now_us), overdue, _delta(context.settings.suspend_after_us))


async def take_step(books: Books, account: Account, step: Step, now: Now, context: Context) -> tuple[Outcome, Account]:
    """The changes of a step, and the account after it; reads usage where it needs it."""
    match step:
        case Step.STATE:
            trigger = trigger_due(account, now.us, context)
            assert trigger is not None
            outcome = move(account, trigger, now, context)
        case Step.BEGIN:
            outcome = _begin(account, now, context)
        case Step.CLOSE:
            outcome = await _close(books, account, now, context)
        case Step.FINALIZE:
            assert account.draft is not None
            outcome = await finalize_draft(books, account, account.draft, now, context)
        case Step.CORRECT:
            outcome = await _correct(books, account, now, context)
    return outcome, _after(account, outcome)


def rest(account: Account, now: Now, context: Context) -> Outcome:
    """When nothing is due: look again when something will be, and never before ``now``."""
    outcome = Outcome()
    next_us = max(now.us + 1, account.wake_us(context.settings.suspend_after_us))
    if next_us != account.row.next_us:
        outcome.replaced.append((account.row, replace(account.row, next_us=next_us)))
    return outcome


def _after(account: Account, outcome: Outcome) -> Account:
    """The account as it is once an outcome of its own is written: the next step goes on from here."""
    row = next((new for old, new in outcome.replaced if old is account.row), account.row)
    phases = (*account.phases, *(one for one in outcome.added if isinstance(one, PhaseRow)))
    drafts = [new for _, new in outcome.replaced if isinstance(new, InvoiceRow)]
    drafts += [one for one in outcome.added if isinstance(one, InvoiceRow)]
    drawn = {credit.id: left for credit, left in outcome.drawn}
    credits = [replace(one, remaining=drawn.get(one.id, one.remaining)) for one in account.credits]
    credits += [one for one in outcome.added if isinstance(one, CreditRow)]
    claimed = {pending for pending, _ in outcome.claimed}
    account = replace(
        account,
        row=row,
        phases=phases,
        draft=next(iter(drafts), account.draft),
        pending=tuple(one for one in account.pending if one.id not in claimed),
        credits=tuple(credits),
        tenant=replace(account.tenant, **_facts(outcome)),
    )
    for _, made in outcome.final:
        account = owing(account, made)
        if made.reason in ("cycle", "correction"):
            account = replace(account, draft=None, watermark=max(made.watermark, account.watermark or 0))
    return account


def _facts(outcome: Outcome) -> dict[str, Any]:
    """What changed of the tenant, as far as billing looks at it."""
    values = {name: value for _, changed in outcome.tenants for name, value in changed.items()}
    return {name: value for name, value in values.items() if name in TenantFacts.__slots__}


def move(account: Account, trigger: Trigger, now: Now, context: Context, **changes: Any) -> Outcome:
    """Change the state by the table; the gateway serves or refuses the tenant accordingly."""
    row = account.row
    changes["state"] = transition(State(row.state), trigger)
    if changes["state"] is State.CANCELED:
        changes |= {"canceled_us": now.us, "cancel_at_us": min(row.cancel_at_us or now.us, now.us), "change": None}
    outcome = Outcome()
    update(outcome, account, now, context, f"subscription.{trigger}", **changes)
    return outcome


def update(outcome: Outcome, account: Account, now: Now, context: Context, action: str, **changes: Any) -> Account:
    """Change the subscription's row, audited; returns the account as it will be."""
    after = replace(account, row=replace(account.row, **changes))
    after = replace(after, row=replace(after.row, next_us=after.wake_us(context.settings.suspend_after_us)))
    outcome.replaced.append((account.row, after.row))
    detail = changes_of(account.row, after.row)
    outcome.audits.append(
        AuditEntry(now.us, now.actor, action, account.row.id, tenant=account.row.tenant, detail=detail)
    )
    serve(outcome, account, after.row)
    return after


def serve(outcome: Outcome, account: Account, row: SubscriptionRow) -> None:
    """Suspend the tenant or open it again, as the subscription's state says. What others set stays."""
    tenant = account.tenant
    served = State(row.state) in SERVED
    if not served and tenant.status == "active":
        values = {"status": "suspended", "status_reason": f"{BILLING}subscription {row.state}"}
        outcome.tenants.append((row.tenant, values))
    elif served and tenant.status == "suspended" and tenant.status_reason.startswith(BILLING):
        outcome.tenants.append((row.tenant, {"status": "active", "status_reason": ""}))


def compose_for(
    account: Account, reason: Reason, period: Period, items: list[Item], watermark: int, at_us: int, context: Context
) -> Composed:
    """An invoice of these items by the tenant's terms as they are now."""
    currency = plan_of(account, account.phase(to_us(period.start)), context).currency
    return compose_invoice(
        Inputs(
            tenant=account.row.tenant,
            subscription=account.row.id,
            reason=reason,
            period=period,
            currency=currency,
            items=tuple(items),
            rules=context.settings.tax_rules(account.row.tenant),
            grants=grants_of(account.credits, currency),
            at_us=at_us,
            watermark=watermark,
        )
    )


def _begin(account: Account, now: Now, context: Context) -> Outcome:
    """The first fees, in advance and final at once: there is no usage to wait for."""
    outcome, begins_us = Outcome(), account.begins_us
    period = Period(from_us(begins_us), account.schedule.month(from_us(begins_us)).end)
    fees = fee_item(account, account.phase(begins_us), begins_us, context, first=True)
    composed = compose_for(account, "start", period, [fees], 0, now.us, context)
    if composed.charged:
        made = put_invoice(outcome, account, composed, None, Making(context.settings, now.us, now.actor, now.us))
        account = owing(account, made)
    update(outcome, account, now, context, "subscription.begin", billed_until_us=begins_us)
    return outcome


async def _close(books: Books, account: Account, now: Now, context: Context) -> Outcome:
    """A cycle is over: its invoice, as a draft until the grace is over, and the prices of the next one."""
    outcome, cycle = Outcome(), account.cycle
    end_us = to_us(cycle.end)
    ends = account.row.cancel_at_us is not None and account.row.cancel_at_us <= end_us
    watermark = await books.watermark()
    items = await cycle_items(books, account, cycle, watermark, context)
    composed = compose_for(account, "cycle", cycle, items, watermark, now.us, context)
    how = Making(context.settings, now.us, now.actor, end_us + context.settings.draft_grace_us)
    made = put_invoice(outcome, account, composed, account.draft, how)
    account = replace(account, draft=None if how.final else made)
    changes: dict[str, Any] = {"billed_until_us": end_us}
    if not ends:
        phase, before = next_phase(account, end_us, context), account.phase(end_us)
        if phase != before:
            outcome.added.append(phase)
            account = replace(account, phases=(*account.phases, phase))
            changes |= {"plan": phase.plan, "version": phase.version, "cycle": phase.cycle}
            changes |= {"quantity": phase.quantity, "change": None}
            follow(outcome, account, phase.plan, phase.cycle)
    update(outcome, owing(account, made), now, context, "subscription.cycle", **changes)
    return outcome


def follow(outcome: Outcome, account: Account, plan: str, cycle: str) -> None:
    """The tenant's limits follow its subscription's plan."""
    if account.tenant.plan != plan:
        outcome.tenants.append((account.row.tenant, {"plan": plan, "billing_cycle": cycle}))


async def finalize_draft(books: Books, account: Account, draft: InvoiceRow, now: Now, context: Context) -> Outcome:
    """Make a draft final, of all that was posted by now. Its fees stay: what is asked for meanwhile is for later."""
    outcome, watermark = Outcome(), await books.watermark()
    period = Period(from_us(draft.start_us), from_us(draft.end_us))
    waiting = [item_from_json(pending.item) for pending in account.pending]  # on the draft too, and added anew
    settled = (item for item in inputs_of(draft).items if isinstance(item, FeeItem) and item.since == period.end)
    fees = [item for item in settled if item not in waiting]
    items = await cycle_items(books, account, period, watermark, context, fees)
    composed = compose_for(account, "cycle", period, items, watermark, now.us, context)
    made = put_invoice(outcome, account, composed, draft, Making(context.settings, now.us, now.actor, now.us))
    account = owing(replace(account, draft=None), made)
    row = replace(account.row, next_us=account.wake_us(context.settings.suspend_after_us))
    outcome.replaced.append((account.row, row))
    return outcome


async def _correct(books: Books, account: Account, now: Now, context: Context) -> Outcome:
    """Late usage of a canceled subscription is an invoice of its own (SEMANTICS §29); it is looked for once a day."""
    outcome, row, watermark = Outcome(), account.row, await books.watermark()
    assert row.billed_until_us is not None
    items = await correction_items(books, account, row.billed_until_us, watermark)
    spans = [item.item.served for item in items]
    if spans:
        period = Period(min(span.start for span in spans), max(span.end for span in spans))
        composed = compose_for(account, "correction", period, list(items), watermark, now.us, context)
        if composed.charged:
            put_invoice(outcome, account, composed, None, Making(context.settings, now.us, now.actor, now.us))
    more = now.us < (row.canceled_us or 0) + LATE_US
    outcome.replaced.append((row, replace(row, next_us=now.us + DAY_US if more else FAR_US)))
    return outcome


def owing(account: Account, made: InvoiceRow) -> Account:
    """The account once an invoice is open."""
    if made.state != "open" or made.due_us is None:
        return account
    return replace(account, oldest_due_us=min(made.due_us, account.oldest_due_us or made.due_us))


def _delta(us: int) -> Any:
    return from_us(us) - from_us(0)
