"""The books: billing's unit of work. What happens within one is committed once, at its end, or not at all."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.money import EXACT, ZERO
from gateway.storage import billing_schema as schema
from gateway.storage.audit import insert_audit
from gateway.storage.billing_rows import PARAMETERS, BillingRows
from gateway.storage.billing_usage import (
    late_since,
    tenants_late,
    tenants_with_events,
    units_listed,
    units_until,
    with_events,
)
from gateway.storage.billing_values import PlanVersionRow, SubscriptionRow
from gateway.storage.changes import append_changes
from gateway.storage.engine import Database
from gateway.storage.events import Aggregate
from gateway.storage.ports import Scope
from gateway.storage.schema import heads, tenants
from gateway.storage.scoping import platform_only, within
from gateway.storage.slices import Span
from gateway.storage.values import AuditEntry

LEDGER = "ledger"

OTHER_CURRENCY = "billing: its plan is in another currency than its invoices"
"""Why a tenant is suspended that came back on a plan that it cannot be billed by."""


class Books(BillingRows):
    """Everything of billing in one transaction: rows, the catalog, numbers, usage, audit."""

    def __init__(self, connection: AsyncConnection, scope: Scope) -> None:
        super().__init__(connection, scope)
        self._head: int | None = None
        self._foreseen: dict[tuple[str, Span, int], dict[str, int]] = {}
        self._eventless: set[tuple[str, Span]] = set()
        self._punctual: set[str] = set()
        self._looked: Span | None = None
        self._looked_after = 0

    async def versions(self, *where: sa.ColumnElement[bool]) -> list[PlanVersionRow]:
        """Versions of the catalog, oldest first. Prices are no secret of a tenant's."""
        return await _versions(self.connection, *where)

    async def publish(self, rows: list[PlanVersionRow]) -> None:
        """Add versions to the catalog."""
        platform_only(self._scope)
        if rows:
            values = [{name: getattr(row, name) for name in PlanVersionRow.__slots__} for row in rows]
            await self.connection.execute(sa.insert(schema.plan_versions), values)

    async def take_numbers(self, name: str, count: int) -> int:
        """Take ``count`` numbers of a series and return the first; the first ever is 1.

        They are given back if the transaction fails, so that none is ever missing.
        """
        platform_only(self._scope)
        table = schema.series
        taken = sa.update(table).where(table.c.name == name).values(sequence=table.c.sequence + count)
        last = (await self.connection.execute(taken.returning(table.c.sequence))).scalar()
        if last is None:
            await self.connection.execute(sa.insert(table).values(name=name, sequence=count))
            last = count
        return int(last) - count + 1

    async def watermark(self) -> int:
        """The ledger's posting sequence as this consistent view sees it (SEMANTICS §29)."""
        if self._head is None:
            self._head = await _watermark(self.connection)
        return self._head

    async def units(
        self, tenant: str, span: Span, watermark: int, aggregates: Mapping[str, Aggregate]
    ) -> dict[str, int]:
        """Billable units by meter in ``span`` of what was posted up to ``watermark``."""
        known = self._foreseen.get((tenant, span, watermark))
        if known is None:
            known = (await self._count([tenant], span, watermark))[tenant]
        if not aggregates or (tenant, span) in self._eventless:
            return dict(known)
        return await with_events(self.connection, self._scope, known, tenant, span, watermark, aggregates)

    async def units_listed(self, tenant: str, span: Span, posted: tuple[int, int]) -> dict[str, int]:
        """Billable units by meter of the single rows in ``span``, posted above the first up to the second sequence."""
        return await units_listed(self.connection, self._scope, tenant, span, posted)

    async def foresee(self, wanted: Mapping[Span, Sequence[str]], watermark: int, meters: Sequence[str]) -> None:
        """Count for many tenants in a few queries what ``units`` will be asked for; ``meters`` may have events."""
        for span, owners in wanted.items():
            for first in range(0, len(owners), PARAMETERS):
                some = owners[first : first + PARAMETERS]
                for tenant, units in (await self._count(some, span, watermark)).items():
                    self._foreseen[tenant, span, watermark] = units
                eventful = await tenants_with_events(self.connection, self._scope, some, span, meters)
                self._eventless |= {(tenant, span) for tenant in some if tenant not in eventful}

    async def _count(self, owners: Sequence[str], span: Span, watermark: int) -> dict[str, dict[str, int]]:
        nothing_later = watermark == self._head
        return await units_until(self.connection, self._scope, owners, span, watermark, nothing_later)

    async def watermarks(self, subscriptions: Sequence[str]) -> dict[str, int]:
        """Up to which posting the final invoices of the subscriptions' cycles have looked."""
        table = schema.invoices.c
        cycle = (table.reason.in_(("cycle", "correction")), table.state.in_(("open", "paid", "uncollectible")))
        where = (within(self._scope, table.tenant), table.subscription.in_(subscriptions), *cycle)
        query = sa.select(table.subscription, sa.func.max(table.watermark)).where(*where).group_by(table.subscription)
        return {row[0]: int(row[1]) for row in await self.connection.execute(query)}

    async def billed_tenants(self, *where: sa.ColumnElement[bool]) -> list[str]:
        """The tenants of the invoices that meet every condition, by id."""
        table = schema.invoices.c
        query = sa.select(table.tenant).where(within(self._scope, table.tenant), *where).distinct()
        return sorted((await self.connection.execute(query)).scalars())

    async def billed_quantities(
        self, subscriptions: Sequence[str], start_us: int
    ) -> dict[tuple[str, str], tuple[Decimal, Decimal]]:
        """Units by subscription and charge of usage from ``start_us`` on, late usage too: those on final invoices, and
        those on invoices that were taken back and not replaced."""
        lines, invoices = schema.invoice_lines, schema.invoices
        joined = lines.join(invoices, invoices.c.id == lines.c.invoice)
        columns = (lines.c.subscription, lines.c.charge, lines.c.quantity, invoices.c.state)
        kinds = (lines.c.kind.in_(("usage", "correction")), lines.c.start_us == start_us)
        counts = (invoices.c.state != "draft") & ((invoices.c.state != "void") | invoices.c.replaced_by.is_(None))
        found: dict[tuple[str, str], tuple[Decimal, Decimal]] = {}
        for first in range(0, len(subscriptions), PARAMETERS):
            mine = lines.c.subscription.in_(subscriptions[first : first + PARAMETERS])
            query = sa.select(*columns).select_from(joined).where(within(self._scope, lines.c.tenant), *kinds, mine)
            for subscription, charge, quantity, state in await self.connection.execute(query.where(counts)):
                final, void = found.get((subscription, charge), (ZERO, ZERO))
                if state == "void":
                    void = EXACT.add(void, Decimal(quantity))
                else:
                    final = EXACT.add(final, Decimal(quantity))
                found[subscription, charge] = (final, void)
        return found

    async def oldest_due(self, subscriptions: Sequence[str]) -> dict[str, int]:
        """When the oldest open invoice of each subscription is due."""
        table = schema.invoices.c
        mine = (within(self._scope, table.tenant), table.subscription.in_(subscriptions))
        where = (*mine, schema.state_among_few == "open")
        query = sa.select(table.subscription, sa.func.min(table.due_us)).where(*where).group_by(table.subscription)
        return {row[0]: int(row[1]) for row in await self.connection.execute(query)}

    async def currencies(self, owners: Sequence[str]) -> dict[str, str]:
        """The currency of each tenant that has a final invoice."""
        table = schema.invoices.c
        final = (table.tenant.in_(owners), table.number.is_not(None), table.state != "void")
        query = sa.select(table.tenant, sa.func.min(table.currency)).where(within(self._scope, table.tenant), *final)
        return {row[0]: row[1] for row in await self.connection.execute(query.group_by(table.tenant))}

    async def late_since(self, tenant: str, span: Span, watermark: int) -> int | None:
        """The oldest record in ``span`` posted after ``watermark``."""
        if tenant in self._punctual and self._looked is not None and watermark >= self._looked_after:
            looked = self._looked
            if looked.start_us <= span.start_us and span.end_us <= looked.end_us:
                return None
        return await late_since(self.connection, self._scope, tenant, span, watermark)

    async def foresee_late(self, owners: Sequence[str], span: Span, watermark: int) -> None:
        """Find out in two queries which tenants have nothing in ``span`` that was posted after ``watermark``."""
        late: set[str] = set()
        for first in range(0, len(owners), PARAMETERS):
            some = owners[first : first + PARAMETERS]
            late |= await tenants_late(self.connection, self._scope, some, span, watermark)
        self._punctual, self._looked, self._looked_after = set(owners) - late, span, watermark

    async def audit(self, entries: Iterable[AuditEntry]) -> None:
        """Tell who did what, in the same transaction."""
        await insert_audit(self.connection, *entries)

    async def set_tenants(self, changed: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
        """Change the state of tenants, in this order, and tell the workers (SEMANTICS §31)."""
        platform_only(self._scope)
        by_columns: dict[tuple[str, ...], list[dict[str, Any]]] = {}
        for tenant, values in changed:
            row = {f"new_{name}": value for name, value in values.items()}
            by_columns.setdefault(tuple(values), []).append({**row, "tenant": tenant})
        for names, rows in by_columns.items():
            update = sa.update(tenants).where(tenants.c.id == sa.bindparam("tenant"))
            await self.connection.execute(update.values({name: sa.bindparam(f"new_{name}") for name in names}), rows)
        if changed:
            await append_changes(self.connection, [("tenant", tenant, tenant) for tenant, _ in changed])

    async def tenant(self, id: str) -> sa.RowMapping | None:
        """The columns of a tenant within the scope."""
        query = sa.select(tenants).where(tenants.c.id == id, within(self._scope, tenants.c.id))
        return (await self.connection.execute(query)).mappings().one_or_none()

    async def tenants(self, *where: sa.ColumnElement[bool]) -> list[sa.RowMapping]:
        """The columns of all tenants within the scope."""
        query = sa.select(tenants).where(within(self._scope, tenants.c.id), *where).order_by(tenants.c.id)
        return list((await self.connection.execute(query)).mappings())

    async def without_subscription(self, tenant: str = "") -> list[tuple[sa.RowMapping, bool]]:
        """Tenants (or the one) that are served without a living subscription, or would be but for a currency,
        and whether they had one before."""
        platform_only(self._scope)
        mine = sa.exists().where(schema.subscriptions.c.tenant == tenants.c.id)
        waits = (tenants.c.status == "suspended") & (tenants.c.status_reason == OTHER_CURRENCY)
        served = [~mine.where(schema.subscriptions.c.state != "canceled"), (tenants.c.status == "active") | waits]
        served += [tenants.c.id == tenant] if tenant else []
        had = {row["id"] for row in await self.tenants(mine, *served)}
        return [(row, row["id"] in had) for row in await self.tenants(*served)]

    async def out_of_step(self, seats: Sequence[str]) -> list[tuple[SubscriptionRow, sa.RowMapping]]:
        """Living subscriptions of closed tenants, and of tenants in the configuration that may say otherwise: another
        plan or cycle, or more than one seat on either side (``seats`` names the tenants that it gives some)."""
        platform_only(self._scope)
        table, yaml = schema.subscriptions, tenants.c.source == "yaml"
        other = (table.c.plan != tenants.c.plan, table.c.cycle != tenants.c.billing_cycle, table.c.quantity != 1)
        conditions = [(tenants.c.status == "closed") | (yaml & sa.or_(*other))]
        conditions += [
            yaml & tenants.c.id.in_(seats[first : first + PARAMETERS]) for first in range(0, len(seats), PARAMETERS)
        ]
        joined = table.join(tenants, tenants.c.id == table.c.tenant)
        columns = [tenants.c[name] for name in ("plan", "billing_cycle", "status", "source")]
        found: dict[str, tuple[SubscriptionRow, sa.RowMapping]] = {}
        for condition in conditions:
            own = await self.connection.execute(
                sa.select(table.c.id, *columns).select_from(joined).where(table.c.state != "canceled", condition)
            )
            told = {row["id"]: row for row in own.mappings()}
            for first in range(0, len(told), PARAMETERS):
                ids = sorted(told)[first : first + PARAMETERS]
                for row in await self.find(SubscriptionRow, table.c.id.in_(ids)):
                    found[row.id] = (row, told[row.id])
        return list(found.values())

    async def due(self, now_us: int, but: Sequence[str]) -> bool:
        """Whether something is due to any subscription ``but`` these."""
        platform_only(self._scope)
        table = schema.subscriptions.c
        query = sa.select(table.id).where(table.next_us <= now_us, table.id.not_in(but)).limit(1)
        return (await self.connection.execute(query)).first() is not None


async def _watermark(connection: AsyncConnection) -> int:
    query = sa.select(heads.c.sequence).where(heads.c.name == LEDGER)
    return int((await connection.execute(query)).scalar_one())


async def _versions(connection: AsyncConnection, *where: sa.ColumnElement[bool]) -> list[PlanVersionRow]:
    table = schema.plan_versions
    rows = await connection.execute(sa.select(table).where(*where).order_by(table.c.key, table.c.ordinal))
    return [PlanVersionRow(*row) for row in rows]


class Billing:
    """The door to the books."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def read(self, scope: Scope) -> AsyncIterator[Books]:
        """One consistent view."""
        async with self._database.read() as connection:
            yield Books(connection, scope)

    @asynccontextmanager
    async def write(self, scope: Scope) -> AsyncIterator[Books]:
        """One transaction; the block's end is its only commit."""
        async with self._database.write() as connection:
            yield Books(connection, scope)
