"""Plans made through the API: every version is kept, and the last one holds."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.storage.audit import insert_audit
from gateway.storage.billing_schema import plans
from gateway.storage.changes import append_changes
from gateway.storage.engine import Conflict, Database
from gateway.storage.ports import Scope
from gateway.storage.scoping import platform_only
from gateway.storage.values import AuditEntry

Json = dict[str, Any]


class Plans:
    """The repository of plans that no file owns. They are the platform's."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def current(self, scope: Scope) -> dict[str, Json]:
        """The plans by name, as the configuration would write them."""
        platform_only(scope)
        async with self._database.read() as connection:
            return {row.name: row.document for row in await _newest(connection)}

    async def put(
        self, scope: Scope, name: str, version: str, document: Json, at_us: int, actor: str, *, new: bool
    ) -> int | None:
        """Make a version the plan's newest, audited; returns the change sequence, None when it is the newest already.

        Raises ``Conflict`` where a ``new`` plan exists.
        """
        platform_only(scope)
        async with self._database.write() as connection:
            last = next((row for row in await _newest(connection) if row.name == name), None)
            if new and last is not None:
                raise Conflict(f"plan {name} exists already")
            if last is not None and last.document == document:
                return None
            ordinal = last.ordinal + 1 if last is not None else 1
            values = {"name": name, "ordinal": ordinal, "version": version, "document": document}
            await connection.execute(sa.insert(plans).values(at_us=at_us, actor=actor, **values))
            before = last.version if last is not None else "-"
            detail = {"version": f"{before} -> {version}"}
            await insert_audit(connection, AuditEntry(at_us, actor, "plan.put", name, None, detail))
            return await append_changes(connection, [("plan", "", name)])


async def _newest(connection: AsyncConnection) -> list[sa.Row[Any]]:
    last = sa.select(plans.c.name, sa.func.max(plans.c.ordinal).label("ordinal")).group_by(plans.c.name).subquery()
    query = sa.select(plans).join(last, (plans.c.name == last.c.name) & (plans.c.ordinal == last.c.ordinal))
    return list(await connection.execute(query.order_by(plans.c.name)))
