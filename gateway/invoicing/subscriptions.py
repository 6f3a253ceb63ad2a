"""Subscriptions as people handle them: begin, change, cancel, pause, resume; each audited, each by the table."""

from gateway.billing.change import When
from gateway.billing.subscription import TransitionError, Trigger
from gateway.invoicing.account import Account
from gateway.invoicing.changing import Changing, ManagedByConfig, Target, change_outcome, plan_change, resume_outcome
from gateway.invoicing.drilling import DrillDesk
from gateway.invoicing.office import InvoiceError
from gateway.invoicing.outcome import Outcome
from gateway.invoicing.steps import Now, move, update
from gateway.invoicing.subscribing import Wish, subscribe
from gateway.period import from_us, to_us
from gateway.storage import billing_schema as schema
from gateway.storage.billing_values import PhaseRow, SubscriptionRow
from gateway.storage.ports import PLATFORM, Scope


class SubscriptionDesk(DrillDesk):
    """Subscriptions, with everything below them."""

    async def subscribe(self, wish: Wish, actor: str) -> SubscriptionRow:
        """Begin a subscription, and what is due of it at once; raises ``Conflict`` when the tenant has one."""
        now = Now(self.clock.now(), actor)
        row = await subscribe(self.billing, wish, now, await self.context(now.us))
        await self.advance(row.id, actor, now.us)
        return await self.subscription(PLATFORM, row.tenant)

    async def subscription(self, scope: Scope, tenant: str) -> SubscriptionRow:
        """A tenant's living subscription; raises ``NotFound``."""
        async with self.billing.read(scope) as books:
            return (await self.living(books, tenant)).row

    async def subscriptions(self, scope: Scope, *, limit: int = 50, after: str | None = None) -> list[SubscriptionRow]:
        """All subscriptions, newest first; ``after`` is the id of the last one seen."""
        table = schema.subscriptions.c
        where = [table.id < after] if after else []
        async with self.billing.read(scope) as books:
            return await books.find(SubscriptionRow, *where, order=(table.id.desc(),), limit=limit)

    async def phases(self, scope: Scope, subscription: str) -> list[PhaseRow]:
        """By which prices a subscription was served since when."""
        table = schema.subscription_phases.c
        async with self.billing.read(scope) as books:
            return await books.find(PhaseRow, table.subscription == subscription, order=(table.start_us,))

    async def preview_change(self, scope: Scope, tenant: str, target: Target, when: When = "now") -> Changing:
        """What a change would cost, by the function that does it."""
        now = Now(self.clock.now(), "preview")
        context = await self.context(now.us)
        async with self.billing.read(scope) as books:
            return await plan_change(books, await self.living(books, tenant), target, when, now, context)

    async def change(
        self, tenant: str, target: Target, actor: str, when: When = "now", *, by_config: bool = False
    ) -> Changing:
        """Change plan, cycle or seats: now, with the next invoice, or at the period's end."""
        now = Now(self.clock.now(), actor)
        await self._settled(tenant, now)
        context = await self.context(now.us)
        async with self.billing.read(PLATFORM) as books:
            account = await self.living(books, tenant)
            if account.tenant.source == "yaml" and not by_config:
                raise ManagedByConfig(f"the plan of {tenant} is set by the configuration: change it there")
            found = await plan_change(books, account, target, when, now, context)
            outcome = change_outcome(account, found, now, context)
        await self.write([outcome], context)
        return found

    async def cancel(self, tenant: str, actor: str, *, now: bool = False) -> SubscriptionRow:
        """End a subscription at the end of the period that is paid, or at once; what it used is billed either way."""
        at = Now(self.clock.now(), actor)
        account = await self._settled(tenant, at)
        moment = from_us(max(at.us, account.begins_us))
        year = account.phase(at.us).cycle == "year"
        period = account.schedule.year(moment) if year else account.schedule.month(moment)
        ends_us = at.us if now or account.row.billed_until_us is None else to_us(period.end)
        return await self._update(account, at, "subscription.cancel", cancel_at_us=ends_us, change=None)

    async def keep(self, tenant: str, actor: str) -> SubscriptionRow:
        """Take back a cancellation or change that waits for the period's end."""
        at = Now(self.clock.now(), actor)
        account = await self._settled(tenant, at)
        if account.row.cancel_at_us is None and account.row.change is None:
            raise InvoiceError("nothing waits for the period's end")
        return await self._update(account, at, "subscription.keep", cancel_at_us=None, change=None)

    async def pin(self, tenant: str, actor: str, *, pinned: bool) -> SubscriptionRow:
        """Keep the prices as they are at every renewal, or follow the plan again (SEMANTICS §17)."""
        at = Now(self.clock.now(), actor)
        account = await self._settled(tenant, at)
        if account.tenant.source == "yaml":
            raise ManagedByConfig(f"whether {tenant} keeps its prices is set by the configuration: change it there")
        return await self._update(account, at, "subscription.pin", pinned=pinned)

    async def pause(self, tenant: str, actor: str) -> SubscriptionRow:
        """Stop serving; periods that begin while it is paused cost no fees."""
        return await self._trigger(tenant, Trigger.PAUSE, actor)

    async def resume(self, tenant: str, actor: str) -> SubscriptionRow:
        """Serve again after a pause; what the pause left out of the present period's fees is charged from now on."""
        return await self._trigger(tenant, Trigger.RESUME, actor)

    async def _trigger(self, tenant: str, trigger: Trigger, actor: str) -> SubscriptionRow:
        now = Now(self.clock.now(), actor)
        account = await self._settled(tenant, now)
        context = await self.context(now.us)
        try:
            if trigger is Trigger.RESUME:
                async with self.billing.read(PLATFORM) as books:
                    outcome = await resume_outcome(books, account, now, context)
            else:
                outcome = move(account, trigger, now, context)
        except TransitionError as error:
            raise InvoiceError(str(error)) from None
        await self.write([outcome], context)
        await self.advance(account.row.id, actor, now.us)
        return await self.subscription(PLATFORM, tenant)

    async def _update(self, account: Account, now: Now, action: str, **changes: object) -> SubscriptionRow:
        context, outcome = await self.context(now.us), Outcome()
        update(outcome, account, now, context, action, **changes)
        await self.write([outcome], context)
        await self.advance(account.row.id, now.actor, now.us)
        table = schema.subscriptions.c
        async with self.billing.read(PLATFORM) as books:
            row = await books.one(SubscriptionRow, table.id == account.row.id)
        assert row is not None
        return row

    async def _settled(self, tenant: str, now: Now) -> Account:
        """The account once all that is due before the change is done."""
        async with self.billing.read(PLATFORM) as books:
            row = (await self.living(books, tenant)).row
        await self.advance(row.id, now.actor, now.us)
        async with self.billing.read(PLATFORM) as books:
            return await self.living(books, tenant)
