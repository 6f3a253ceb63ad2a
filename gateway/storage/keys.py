"""Keys: machines' credentials, by the hash of their text. Every change tells the workers in its own transaction."""

from typing import cast

import sqlalchemy as sa

from gateway.errors import GatewayError
from gateway.storage import schema
from gateway.storage.changes import Changed, append_changes
from gateway.storage.engine import Conflict, Database
from gateway.storage.ports import Scope
from gateway.storage.rows import AnyRow, key_of, key_values
from gateway.storage.scoping import must_own, within
from gateway.tenants.model import Key


class Keys:
    """The repository of keys."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, scope: Scope, key: Key) -> int:
        """Add a key; returns the change sequence. Raises ``Conflict`` when its id or its hash is taken already, or
        there is no such tenant."""
        must_own(scope, key.tenant)
        table = schema.keys
        taken = sa.select(table.c.id).where(
            sa.or_(
                sa.and_(table.c.tenant == key.tenant, table.c.id == key.id),
                sa.and_(table.c.hash == key.hash, table.c.revoked_us.is_(None)),
            )
        )
        owner = sa.select(schema.tenants.c.id).where(schema.tenants.c.id == key.tenant)
        async with self._database.write() as connection:
            if not (await connection.execute(owner)).first():
                raise Conflict(f"there is no tenant {key.tenant}")
            if (await connection.execute(taken)).first():
                raise Conflict(f"key {key.id} or its credential exists already")
            await connection.execute(sa.insert(table).values(**key_values(key)))
            return await append_changes(connection, [("key", key.tenant, key.id)])

    async def list(self, scope: Scope, tenant: str) -> list[Key]:
        """A tenant's keys, newest first, revoked ones too."""
        table = schema.keys
        query = sa.select(table).where(table.c.tenant == tenant, within(scope, table.c.tenant))
        query = query.order_by(table.c.created_us.desc(), table.c.id)
        async with self._database.read() as connection:
            return [key_of(row) for row in await connection.execute(query)]

    async def get(self, scope: Scope, id: str) -> Key | None:
        """One key; None when there is none within the scope."""
        row = await self._find(scope, id)
        return key_of(row) if row else None

    async def last_used(self, scope: Scope, tenant: str) -> dict[str, int]:
        """When each key of a tenant was last used, from the records shipped so far; unused keys are absent."""
        table = schema.keys
        query = sa.select(table.c.id, table.c.last_used_us).where(
            table.c.tenant == tenant, table.c.last_used_us.is_not(None), within(scope, table.c.tenant)
        )
        async with self._database.read() as connection:
            return {row.id: row.last_used_us for row in await connection.execute(query)}

    async def change(self, scope: Scope, key: Key, successor: Key | None = None) -> int | None:
        """Store a key's new name, scopes, addresses and end, and the key that follows it, in one transaction; returns
        the change sequence, or None when there is no such living key within the scope."""
        must_own(scope, key.tenant)
        table = schema.keys
        live = sa.update(table).where(
            table.c.tenant == key.tenant,
            table.c.id == key.id,
            table.c.revoked_us.is_(None),
            within(scope, table.c.tenant),
        )
        names = ("name", "scopes", "addresses", "expires_us")
        values = {name: value for name, value in key_values(key).items() if name in names}
        async with self._database.write() as connection:
            if not (await connection.execute(live.values(**values))).rowcount:
                return None
            changed: list[Changed] = [("key", key.tenant, key.id)]
            if successor is not None:
                must_own(scope, successor.tenant)
                await connection.execute(sa.insert(table).values(**key_values(successor)))
                changed.append(("key", successor.tenant, successor.id))
            return await append_changes(connection, changed)

    async def revoke(self, scope: Scope, id: str, now_us: int) -> int | None:
        """End a key now; returns the change sequence, or None when there is no such key within the scope.

        A key that is revoked already keeps its first time and makes no new change.
        """
        row = await self._find(scope, id)
        if row is None:
            return None
        table = schema.keys
        live = sa.update(table).where(
            table.c.tenant == row.tenant, table.c.id == id, table.c.revoked_us.is_(None), within(scope, table.c.tenant)
        )
        async with self._database.write() as connection:
            done = await connection.execute(live.values(revoked_us=now_us, revoke_reason="revoked"))
            return await append_changes(connection, [("key", row.tenant, id)] if done.rowcount else [])

    async def _find(self, scope: Scope, id: str) -> AnyRow | None:
        table = schema.keys
        query = sa.select(table).where(table.c.id == id, within(scope, table.c.tenant)).limit(2)
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).all()
        if len(rows) > 1:
            owners = ", ".join(sorted(cast(str, row.tenant) for row in rows))
            raise GatewayError(f"several tenants have a key {id} ({owners} …): name the tenant")
        return rows[0] if rows else None
