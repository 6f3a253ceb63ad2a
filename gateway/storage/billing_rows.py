"""Rows of billing within one transaction and one scope: found, added and compared-and-set. Values are dataclasses."""

from collections.abc import Iterable, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.errors import GatewayError
from gateway.storage import billing_schema as schema
from gateway.storage.billing_values import (
    CreditNoteRow,
    CreditRow,
    DrawRow,
    InvoiceRow,
    LineRow,
    PaymentRow,
    PendingRow,
    PhaseRow,
    SubscriptionRow,
)
from gateway.storage.ports import Scope
from gateway.storage.scoping import must_own, within

Value = TypeVar("Value")
Condition = sa.ColumnElement[bool]

TABLES: dict[type, sa.Table] = {
    SubscriptionRow: schema.subscriptions,
    PhaseRow: schema.subscription_phases,
    InvoiceRow: schema.invoices,
    LineRow: schema.invoice_lines,
    PendingRow: schema.pending_items,
    PaymentRow: schema.payments,
    CreditRow: schema.credits,
    DrawRow: schema.credit_draws,
    CreditNoteRow: schema.credit_notes,
}


PARAMETERS = 500
"""How many values one statement names: well under SQLite's limit."""


class Moved(GatewayError):
    """Another process changed the row first: what was decided by its old state is void, and may be tried again."""


def columns_of(value: object) -> dict[str, Any]:
    """A row's values by column; unlike ``asdict`` it copies no documents."""
    return {name: getattr(value, name) for name in type(value).__slots__}  # type: ignore[attr-defined]


class BillingRows:
    """The rows that one scope sees, on one connection."""

    def __init__(self, connection: AsyncConnection, scope: Scope) -> None:
        self.connection = connection
        self._scope = scope

    async def find(
        self, kind: type[Value], *where: Condition, order: Sequence[Any] = (), limit: int | None = None
    ) -> list[Value]:
        """The rows that meet every condition."""
        table = TABLES[kind]
        columns = [table.c[field.name] for field in fields(kind)]  # type: ignore[arg-type]
        query = sa.select(*columns).where(within(self._scope, table.c.tenant), *where).order_by(*order).limit(limit)
        return [kind(*row) for row in await self.connection.execute(query)]

    async def one(self, kind: type[Value], *where: Condition) -> Value | None:
        """The only such row, or None."""
        found = await self.find(kind, *where, limit=2)
        assert len(found) < 2, f"more than one {kind.__name__}"
        return found[0] if found else None

    async def add(self, values: Iterable[object]) -> None:
        """Insert rows, of any kinds; raises ``Conflict`` where one of that identity exists."""
        by_kind: dict[type, list[dict[str, Any]]] = {}
        for value in values:
            assert is_dataclass(value), value
            row = columns_of(value)
            must_own(self._scope, row["tenant"])
            by_kind.setdefault(type(value), []).append(row)
        for kind, table in TABLES.items():  # in the order of their foreign keys
            if rows := by_kind.get(kind):
                await self.connection.execute(sa.insert(table), rows)

    async def replace(self, old: Value, new: Value) -> None:
        """Compare-and-set by ``revision``, which ``new`` counts up; raises ``Moved`` if another was first."""
        await self.replace_all([(old, new)])

    async def replace_all(self, pairs: Iterable[tuple[Any, Any]]) -> None:
        """The same for many rows: one statement for all that change the same columns of a table."""
        by_kind: dict[type, list[tuple[dict[str, Any], dict[str, Any]]]] = {}
        for old, new in pairs:
            by_kind.setdefault(type(old), []).append((columns_of(old), columns_of(new)))
        for kind, rows in by_kind.items():
            await self._unmoved(TABLES[kind], [before for before, _ in rows])
            await self._update(TABLES[kind], rows)

    async def _unmoved(self, table: sa.Table, rows: Sequence[dict[str, Any]]) -> None:
        """Lock the rows, which still have to be as they were read; writers take turns, so they stay so."""
        expected = {row["id"]: row["revision"] for row in rows}
        assert len(expected) == len(rows), "a row is replaced twice"
        ids = sorted(expected)
        for first in range(0, len(ids), PARAMETERS):
            where = (within(self._scope, table.c.tenant), table.c.id.in_(ids[first : first + PARAMETERS]))
            query = sa.select(table.c.id, table.c.revision).where(*where).with_for_update()
            for id, revision in await self.connection.execute(query):
                if expected[id] == revision:
                    del expected[id]
        for id in expected:
            raise Moved(f"{id} was changed by another process; try again")

    async def _update(self, table: sa.Table, rows: Sequence[tuple[dict[str, Any], dict[str, Any]]]) -> None:
        by_columns: dict[tuple[str, ...], list[dict[str, Any]]] = {}
        for before, after in rows:
            changed = {name: value for name, value in after.items() if value != before[name] and name != "revision"}
            values = {f"new_{name}": value for name, value in changed.items()}
            by_columns.setdefault(tuple(changed), []).append(
                {**values, "old_id": before["id"], "new_revision": before["revision"] + 1}
            )
        for names, values_of in by_columns.items():
            changes = {name: sa.bindparam(f"new_{name}", type_=table.c[name].type) for name in (*names, "revision")}
            mine = (within(self._scope, table.c.tenant), table.c.id == sa.bindparam("old_id"))
            await self.connection.execute(sa.update(table).where(*mine).values(changes), values_of)

    async def set(self, kind: type, values: dict[str, object], *where: Condition) -> int:
        """Update the rows that meet every condition; returns how many."""
        table = TABLES[kind]
        statement = sa.update(table).where(within(self._scope, table.c.tenant), *where).values(values)
        return (await self.connection.execute(statement)).rowcount

    async def delete(self, kind: type, *where: Condition) -> int:
        """Delete drafts and what hangs on them; returns how many rows."""
        table = TABLES[kind]
        statement = sa.delete(table).where(within(self._scope, table.c.tenant), *where)
        return (await self.connection.execute(statement)).rowcount
