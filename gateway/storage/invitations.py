"""Invitations: seats that wait for somebody, known by the hash of a one-time token."""

from dataclasses import asdict

import sqlalchemy as sa

from gateway.storage.account_schema import invitations
from gateway.storage.account_values import Invitation
from gateway.storage.engine import Database
from gateway.storage.ports import Scope
from gateway.storage.rows import AnyRow
from gateway.storage.scoping import must_own, platform_only, within


class Invitations:
    """The repository of invitations."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, scope: Scope, invitation: Invitation) -> None:
        """Add one. Older open ones to the same address and tenant end, so that one link works at a time."""
        must_own(scope, invitation.tenant)
        table = invitations
        same = sa.update(table).where(
            table.c.email == invitation.email, table.c.tenant.is_not_distinct_from(invitation.tenant), _open()
        )
        async with self._database.write() as connection:
            await connection.execute(same.values(revoked_us=invitation.created_us))
            await connection.execute(sa.insert(table).values(**asdict(invitation)))

    async def list(self, scope: Scope, tenant: str | None) -> list[Invitation]:
        """A tenant's invitations, or the platform's own (None), newest first, used ones too."""
        table = invitations
        query = sa.select(table).where(table.c.tenant.is_not_distinct_from(tenant), within(scope, table.c.tenant))
        async with self._database.read() as connection:
            rows = await connection.execute(query.order_by(table.c.created_us.desc(), table.c.id))
            return [_invitation_of(row) for row in rows]

    async def find(self, scope: Scope, hash: bytes, now_us: int) -> Invitation | None:
        """The invitation with this token, if it may still be accepted."""
        platform_only(scope)
        table = invitations
        query = sa.select(table).where(table.c.hash == hash, _open(), table.c.expires_us > now_us)
        async with self._database.read() as connection:
            row = (await connection.execute(query)).one_or_none()
        return _invitation_of(row) if row else None

    async def accept(self, scope: Scope, hash: bytes, now_us: int) -> Invitation | None:
        """Use an invitation up: of all who ask, one gets it; None when it is unknown, used or over."""
        platform_only(scope)
        table = invitations
        fresh = sa.update(table).where(table.c.hash == hash, _open(), table.c.expires_us > now_us)
        async with self._database.write() as connection:
            row = (await connection.execute(fresh.values(accepted_us=now_us).returning(*table.c))).one_or_none()
        return _invitation_of(row) if row else None

    async def revoke(self, scope: Scope, tenant: str | None, id: str, now_us: int) -> bool:
        """Withdraw one; False when there is no such invitation within the scope that nobody accepted."""
        table = invitations
        mine = sa.update(table).where(
            table.c.id == id,
            table.c.tenant.is_not_distinct_from(tenant),
            within(scope, table.c.tenant),
            table.c.accepted_us.is_(None),
        )
        ended = sa.func.coalesce(table.c.revoked_us, now_us)
        async with self._database.write() as connection:
            return (await connection.execute(mine.values(revoked_us=ended))).rowcount > 0


def _open() -> sa.ColumnElement[bool]:
    return sa.and_(invitations.c.accepted_us.is_(None), invitations.c.revoked_us.is_(None))


def _invitation_of(row: AnyRow) -> Invitation:
    return Invitation(**row._asdict())
