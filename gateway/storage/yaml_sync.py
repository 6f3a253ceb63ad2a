"""Taking the configuration's tenants and keys into the store: upsert, close what vanished, delete nothing."""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.storage import schema
from gateway.storage.changes import Changed, append_changes
from gateway.storage.engine import Conflict
from gateway.storage.rows import AnyRow, key_values, tenant_values
from gateway.tenants.model import Key, Tenant

REMOVED = "removed from the configuration"

TENANT_COLUMNS = ("id", "name", "plan", "timezone", "billing_cycle", "source", "limits", "anchor")
KEY_COLUMNS = (
    *("tenant", "id", "hash", "name", "scopes", "created_us", "expires_us", "revoked_us", "source", "hint"),
    *("addresses", "created_by"),
)

Values = dict[str, object]
KeyId = tuple[str, str]


async def sync(connection: AsyncConnection, tenants: Sequence[Tenant], keys: Sequence[Key], now_us: int) -> int:
    """Make YAML-owned rows equal to the files, in the caller's transaction; returns the newest change sequence."""
    changed = await _sync_tenants(connection, tenants, now_us)
    changed += await _sync_keys(connection, keys, now_us)
    return await append_changes(connection, changed)


async def _sync_tenants(connection: AsyncConnection, tenants: Sequence[Tenant], now_us: int) -> list[Changed]:
    table = schema.tenants
    present = {row.id: row for row in await connection.execute(sa.select(table))}
    listed = {tenant.id for tenant in tenants}
    added: list[Values] = []
    updated: list[Values] = []
    for tenant in tenants:
        row, values = present.get(tenant.id), tenant_values(tenant) | {"source": "yaml"}
        if row is None:
            added.append(values | {"status": "active", "status_reason": "", "created_us": now_us})
            continue
        if row.source != "yaml":
            # SEMANTICS §32: one id in both places has no owner.
            raise Conflict(f"tenant {tenant.id} is in the configuration, and was also made by command")
        if row.status == "closed" and row.status_reason == REMOVED:
            values |= {"status": "active", "status_reason": ""}
        if _differs(row, values):
            updated.append({"status": row.status, "status_reason": row.status_reason} | values)
    for row in present.values():
        if row.source == "yaml" and row.id not in listed and row.status != "closed":
            updated.append({**_only(row, TENANT_COLUMNS), "status": "closed", "status_reason": REMOVED})
    if added:
        await connection.execute(sa.insert(table), added)
    await _update(connection, table, ("id",), updated)
    return [("tenant", str(values["id"]), str(values["id"])) for values in (*added, *updated)]


async def _sync_keys(connection: AsyncConnection, keys: Sequence[Key], now_us: int) -> list[Changed]:
    table = schema.keys
    rows = await connection.execute(sa.select(table).where(table.c.source == "yaml"))
    present: dict[KeyId, AnyRow] = {(row.tenant, row.id): row for row in rows}
    listed = {(key.tenant, key.id) for key in keys}
    gone = [
        {**_only(row, KEY_COLUMNS), "revoked_us": now_us, "revoke_reason": REMOVED}
        for id, row in present.items()
        if id not in listed and row.revoked_us is None
    ]
    added: list[Values] = []
    updated: list[Values] = []
    for key in keys:
        row = present.get((key.tenant, key.id))
        values = key_values(key) | {"source": "yaml", "revoke_reason": ""}
        if row is None:
            added.append(values | {"created_us": key.created_us or now_us})
            continue
        values["created_us"] = row.created_us
        if row.revoke_reason != REMOVED and row.hash == key.hash:
            # A revocation by command is state, and stays; a new hash is a new credential.
            values |= {"revoked_us": row.revoked_us, "revoke_reason": row.revoke_reason}
        if _differs(row, values):
            updated.append(values)
    # A hash that moves from one id to another is free again only once its old key lets go of it, and two live keys
    # may swap theirs: changed rows step aside first.
    aside = [values | {"revoked_us": now_us} for values in updated]
    await _update(connection, table, ("tenant", "id"), [*gone, *aside])
    await _update(connection, table, ("tenant", "id"), updated)
    if added:
        await connection.execute(sa.insert(table), added)
    return [("key", str(values["tenant"]), str(values["id"])) for values in (*gone, *added, *updated)]


async def _update(connection: AsyncConnection, table: sa.Table, identity: tuple[str, ...], rows: list[Values]) -> None:
    if not rows:
        return
    columns = [name for name in rows[0] if name not in identity]
    where = [table.c[name] == sa.bindparam(f"_{name}") for name in identity]
    statement = sa.update(table).where(*where).values({name: sa.bindparam(f"_{name}") for name in columns})
    await connection.execute(statement, [{f"_{name}": value for name, value in row.items()} for row in rows])


def _differs(row: AnyRow, values: Values) -> bool:
    return any(getattr(row, name) != value for name, value in values.items())


def _only(row: AnyRow, columns: Sequence[str]) -> Values:
    return {name: getattr(row, name) for name in columns}
