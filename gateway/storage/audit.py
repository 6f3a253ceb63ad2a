"""The audit log: who did what, append-only."""

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.storage import schema
from gateway.storage.engine import Database
from gateway.storage.ports import Scope
from gateway.storage.scoping import must_own, within
from gateway.storage.values import AuditEntry, Page, cursor_number

COLUMNS = ("at_us", "actor", "action", "target", "tenant", "detail")


async def insert_audit(connection: AsyncConnection, *entries: AuditEntry) -> None:
    """Write entries in the transaction of what they tell about."""
    if entries:
        rows = [{name: getattr(entry, name) for name in COLUMNS} for entry in entries]
        await connection.execute(sa.insert(schema.audit), rows)


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which entries; an action that ends with a dot is all that begin so (``key.``)."""

    actor: str = ""
    action: str = ""
    target: str = ""
    since_us: int | None = None
    until_us: int | None = None


EVERYTHING = AuditFilter()


def _conditions(wanted: AuditFilter) -> list[sa.ColumnElement[bool]]:
    table = schema.audit.c
    found = [table.actor == wanted.actor] if wanted.actor else []
    found += [table.target == wanted.target] if wanted.target else []
    if wanted.action.endswith("."):
        found.append(table.action.startswith(wanted.action, autoescape=True))
    elif wanted.action:
        found.append(table.action == wanted.action)
    found += [table.at_us >= wanted.since_us] if wanted.since_us is not None else []
    found += [table.at_us < wanted.until_us] if wanted.until_us is not None else []
    return found


class Audit:
    """The repository of audit entries."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def append(self, scope: Scope, entry: AuditEntry) -> None:
        """Write one entry."""
        must_own(scope, entry.tenant)
        async with self._database.write() as connection:
            await insert_audit(connection, entry)

    async def list(
        self, scope: Scope, limit: int = 50, after: str | None = None, wanted: AuditFilter = EVERYTHING
    ) -> Page[AuditEntry]:
        """Entries, newest first."""
        table = schema.audit
        query = sa.select(table).where(within(scope, table.c.tenant), *_conditions(wanted))
        query = query.order_by(table.c.id.desc()).limit(limit + 1)
        if after is not None:
            query = query.where(table.c.id < cursor_number(after))
        async with self._database.read() as connection:
            found = [
                AuditEntry(row.at_us, row.actor, row.action, row.target, row.tenant, row.detail, row.id)
                for row in await connection.execute(query)
            ]
        return Page(tuple(found[:limit]), str(found[limit - 1].id) if len(found) > limit else None)
