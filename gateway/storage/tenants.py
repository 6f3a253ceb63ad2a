"""Tenants: those that YAML owns and those made by command, API or UI (SEMANTICS §32)."""

from collections.abc import Sequence

import sqlalchemy as sa

from gateway.storage import schema
from gateway.storage.account_values import TenantSettings
from gateway.storage.audit import insert_audit
from gateway.storage.changes import append_changes
from gateway.storage.engine import Conflict, Database
from gateway.storage.ports import Scope
from gateway.storage.rows import tenant_of, tenant_values
from gateway.storage.scoping import must_own, platform_only, within
from gateway.storage.values import AuditEntry, Page
from gateway.storage.yaml_sync import sync
from gateway.tenants.model import Key, Tenant, TenantStatus


class Tenants:
    """The repository of tenants."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def sync_yaml(self, scope: Scope, tenants: Sequence[Tenant], keys: Sequence[Key], now_us: int) -> int:
        """Make YAML-owned tenants and keys equal to the files; returns the newest change sequence.

        Vanished tenants are closed and vanished keys revoked; both come back when listed again. Raises ``Conflict``,
        and changes nothing, when an id has another owner.
        """
        platform_only(scope)
        async with self._database.write() as connection:
            return await sync(connection, tenants, keys, now_us)

    async def get(self, scope: Scope, id: str) -> Tenant | None:
        """One tenant; None when there is none within the scope."""
        table = schema.tenants
        query = sa.select(table).where(table.c.id == id, within(scope, table.c.id))
        async with self._database.read() as connection:
            row = (await connection.execute(query)).one_or_none()
        return tenant_of(row) if row else None

    async def list(
        self,
        scope: Scope,
        limit: int = 50,
        after: str | None = None,
        *,
        status: str = "",
        plan: str = "",
        search: str = "",
    ) -> Page[Tenant]:
        """Tenants by id, closed ones too, unless of one status or on one plan.

        ``search``: those with this text in their id or name, in any case.
        """
        table = schema.tenants
        where = [within(scope, table.c.id)]
        where += [table.c.status == status] if status else []
        where += [table.c.plan == plan] if plan else []
        if search:
            text = search.lower()
            found_by = [sa.func.lower(column).contains(text, autoescape=True) for column in (table.c.id, table.c.name)]
            where.append(sa.or_(*found_by))
        query = sa.select(table).where(*where).order_by(table.c.id).limit(limit + 1)
        if after is not None:
            query = query.where(table.c.id > after)
        async with self._database.read() as connection:
            found = [tenant_of(row) for row in await connection.execute(query)]
        return Page(tuple(found[:limit]), found[limit - 1].id if len(found) > limit else None)

    async def create(self, scope: Scope, tenant: Tenant, now_us: int) -> int:
        """Add a tenant; returns the change sequence. Raises ``Conflict`` when the id exists."""
        platform_only(scope)
        values = tenant_values(tenant) | {"status": tenant.status, "created_us": now_us}
        async with self._database.write() as connection:
            exists = sa.select(schema.tenants.c.id).where(schema.tenants.c.id == tenant.id)
            if (await connection.execute(exists)).first():
                raise Conflict(f"tenant {tenant.id} exists already")
            await connection.execute(sa.insert(schema.tenants).values(**values))
            return await append_changes(connection, [("tenant", tenant.id, tenant.id)])

    async def set_status(self, scope: Scope, id: str, status: TenantStatus, now_us: int, actor: str) -> int | None:
        """Suspend, reopen or close a tenant, audited; returns the change sequence, None when there is no such tenant.

        A status set here stays when the YAML is loaded again: the store owns state.
        """
        platform_only(scope)
        table = schema.tenants
        change = sa.update(table).where(table.c.id == id).values(status=status, status_reason=f"set by {actor}")
        async with self._database.write() as connection:
            if not (await connection.execute(change)).rowcount:
                return None
            entry = AuditEntry(now_us, actor, f"tenant.{status}", id, tenant=id)
            await insert_audit(connection, entry)
            return await append_changes(connection, [("tenant", id, id)])

    async def change(self, scope: Scope, tenant: Tenant) -> int | None:
        """Store a new name, plan, zone, cycle and overrides of a tenant that the store owns; returns the change
        sequence, None when there is no such tenant within the scope, or the YAML owns it."""
        must_own(scope, tenant.id)
        table = schema.tenants
        names = ("name", "plan", "timezone", "billing_cycle", "limits")
        values = {name: value for name, value in tenant_values(tenant).items() if name in names}
        own = sa.update(table).where(table.c.id == tenant.id, table.c.source == "store", within(scope, table.c.id))
        async with self._database.write() as connection:
            if not (await connection.execute(own.values(**values))).rowcount:
                return None
            return await append_changes(connection, [("tenant", tenant.id, tenant.id)])

    async def settings(self, scope: Scope, id: str) -> TenantSettings | None:
        """How the tenant's people want things written; None when there is no such tenant within the scope."""
        table = schema.tenants
        query = sa.select(table.c.locale, table.c.date_format).where(table.c.id == id, within(scope, table.c.id))
        async with self._database.read() as connection:
            row = (await connection.execute(query)).one_or_none()
        return TenantSettings(row.locale, row.date_format) if row else None

    async def set_settings(self, scope: Scope, id: str, settings: TenantSettings) -> bool:
        """Store the settings; False when there is no such tenant within the scope."""
        table = schema.tenants
        change = sa.update(table).where(table.c.id == id, within(scope, table.c.id))
        async with self._database.write() as connection:
            done = await connection.execute(change.values(locale=settings.locale, date_format=settings.date_format))
            return done.rowcount > 0

    async def created(self, scope: Scope, ids: Sequence[str]) -> dict[str, int]:
        """When each of these tenants was made, in microseconds."""
        table = schema.tenants
        query = sa.select(table.c.id, table.c.created_us).where(table.c.id.in_(ids), within(scope, table.c.id))
        async with self._database.read() as connection:
            return {row.id: row.created_us for row in await connection.execute(query)}
