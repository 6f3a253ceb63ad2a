"""Beginning subscriptions: those of the configuration at its first load, others when they are made (SEMANTICS §32)."""

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from gateway.billing.subscription import State
from gateway.errors import GatewayError
from gateway.ids import new_id
from gateway.invoicing.account import FAR_US
from gateway.invoicing.cycle import Context
from gateway.invoicing.steps import Now
from gateway.period import from_us, local_midnight, to_us
from gateway.storage.billing import OTHER_CURRENCY, Billing
from gateway.storage.billing_values import PhaseRow, SubscriptionRow
from gateway.storage.engine import Conflict
from gateway.storage.ports import PLATFORM
from gateway.storage.values import AuditEntry

logger = logging.getLogger(__name__)

BATCH = 100
"""Subscriptions to a transaction."""


class SubscriptionError(GatewayError):
    """What was asked of a subscription cannot be; the message says why and is fit to be shown."""


@dataclass(frozen=True, slots=True)
class Wish:
    """A subscription to be made. ``start`` None: the local day of now; ``trial_days`` None: the plan's."""

    tenant: str
    plan: str
    cycle: str = "month"
    timezone: str = "UTC"
    start: date | None = None
    anniversary: bool = False
    pinned: bool = False
    quantity: int = 1
    trial_days: int | None = None


def new_rows(wish: Wish, now: Now, context: Context) -> tuple[SubscriptionRow, PhaseRow]:
    """The rows of a new subscription; raises ``SubscriptionError`` for a plan that there is not."""
    plan = context.catalogue.newest(context.settings.key(wish.plan, wish.tenant), now.us)
    if plan is None:
        raise SubscriptionError(f"there is no plan {wish.plan}")
    zone = ZoneInfo(wish.timezone)
    day = wish.start or from_us(now.us).astimezone(zone).date()
    start_us = to_us(local_midnight(day, zone))
    trial = plan.trial_days if wish.trial_days is None else wish.trial_days
    trial_end = (
        local_midnight(day, zone) if not trial else local_midnight(date.fromordinal(day.toordinal() + trial), zone)
    )
    begins = trial_end.astimezone(zone).date()
    row = SubscriptionRow(
        id=new_id("sub", now.us),
        tenant=wish.tenant,
        plan=wish.plan,
        version=plan.version,
        cycle=wish.cycle,
        quantity=wish.quantity,
        anchor=(day if wish.anniversary else date(begins.year, 1, 1)).isoformat(),
        timezone=wish.timezone,
        state=State.PENDING,
        start_us=start_us,
        trial_end_us=to_us(trial_end) if trial else None,
        cancel_at_us=None,
        canceled_us=None,
        billed_until_us=None,
        pinned=wish.pinned,
        change=None,
        created_us=now.us,
        next_us=start_us,
        revision=0,
    )
    return row, PhaseRow(row.id, start_us, wish.tenant, wish.plan, plan.version, wish.cycle, wish.quantity)


async def subscribe(billing: Billing, wish: Wish, now: Now, context: Context) -> SubscriptionRow:
    """Begin a subscription; raises ``Conflict`` when the tenant has a living one."""
    async with billing.read(PLATFORM) as books:
        fixed = await books.currencies([wish.tenant])
    if wrong := _other_currency(wish, fixed, context):
        raise SubscriptionError(wrong)
    return (await _begin(billing, [wish], now, context))[0]


async def adopt(
    billing: Billing, now: Now, context: Context, tenant: str = "", refused: dict[str, str] | None = None
) -> int:
    """Begin the subscriptions of tenants (or of one) that are served without one; returns how many.

    Several processes may do this at once: the store holds one living subscription a tenant. Whose plan is in another
    currency than their invoices is not served until that is mended; ``refused`` is told why.
    """
    async with billing.read(PLATFORM) as books:
        found = await books.without_subscription(tenant)
        had = [row["id"] for row, before in found if before]
        fixed = await books.currencies(had) if had else {}
    wishes = [_wish(row, before, context) for row, before in found]
    # A plan that was taken out of the configuration is not sold.
    wishes = [one for one in wishes if context.catalogue.last(context.settings.key(one.plan, one.tenant)) is not None]
    wrong = {one.tenant: why for one in wishes if (why := _other_currency(one, fixed, context))}
    if wrong:
        wishes = [one for one in wishes if one.tenant not in wrong]
        await _refuse(billing, wrong, {row["id"] for row, _ in found if row["status"] == "active"}, now)
        if refused is not None:
            refused |= wrong
    begun = 0
    for first in range(0, len(wishes), BATCH):
        batch = wishes[first : first + BATCH]
        try:
            begun += len(await _begin(billing, batch, now, context))
        except Conflict:  # another process was first with one of them
            for wish in batch:
                with suppress(Conflict):
                    begun += len(await _begin(billing, [wish], now, context))
    return begun


async def _refuse(billing: Billing, wrong: dict[str, str], served: set[str], now: Now) -> None:
    """Serve nobody who cannot be billed; a subscription that begins opens the gateway again."""
    fresh = {tenant: why for tenant, why in wrong.items() if tenant in served}
    if not fresh:
        return
    for tenant, why in fresh.items():
        logger.error("a tenant cannot be billed: %s", why, extra={"tenant": tenant})
    values = {"status": "suspended", "status_reason": OTHER_CURRENCY}
    async with billing.write(PLATFORM) as books:
        await books.set_tenants([(tenant, values) for tenant in fresh])
        await books.audit(
            AuditEntry(
                now.us, now.actor, "tenant.suspend", tenant, tenant, {"status": "active -> suspended", "reason": why}
            )
            for tenant, why in fresh.items()
        )


def _other_currency(wish: Wish, fixed: dict[str, str], context: Context) -> str:
    """Why not: a tenant's currency is that of its first final invoice (SEMANTICS §38); empty when it is."""
    newest, currency = (
        context.catalogue.newest(context.settings.key(wish.plan, wish.tenant), FAR_US),
        fixed.get(wish.tenant),
    )
    if newest is None or currency is None or newest.currency == currency:
        return ""
    return f"plan {wish.plan} is in {newest.currency}, and {wish.tenant} was billed in {currency} before"


async def _begin(billing: Billing, wishes: Sequence[Wish], now: Now, context: Context) -> list[SubscriptionRow]:
    pairs = [new_rows(wish, now, context) for wish in wishes]
    rows = [row for row, _ in pairs]
    async with billing.write(PLATFORM) as books:
        await books.add([value for pair in pairs for value in pair])
        await books.audit(
            AuditEntry(now.us, now.actor, "subscription.create", row.id, row.tenant, {"plan": row.plan}) for row in rows
        )
    return rows


def _wish(tenant: sa.RowMapping, had: bool, context: Context) -> Wish:
    terms = context.settings.terms(tenant["id"])
    return Wish(
        tenant=tenant["id"],
        plan=tenant["plan"],
        cycle=tenant["billing_cycle"],
        timezone=tenant["timezone"],
        # Who comes back subscribes anew; what lies between was not served.
        start=None if had else _start(terms.start, tenant["created_us"], tenant["timezone"]),
        anniversary=terms.anniversary,
        pinned=terms.pinned,
        quantity=terms.quantity,
    )


def _start(written: str, created_us: int, timezone: str) -> date:
    """The day that the configuration names, else the local day on which the tenant was made."""
    return date.fromisoformat(written) if written else from_us(created_us).astimezone(ZoneInfo(timezone)).date()
