"""People: users, their sessions and one-time links."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Literal

import sqlalchemy as sa

from gateway.storage import schema
from gateway.storage.engine import Conflict, Database
from gateway.storage.ports import Scope
from gateway.storage.rows import link_of, session_of, user_of
from gateway.storage.scoping import must_own, platform_only, within
from gateway.storage.values import Link, LinkPurpose, Role, Session, User

LOGIN_PURPOSES: tuple[LinkPurpose, ...] = ("login", "reset", "invite")


class People:
    """The repository of users, sessions and links. Sessions and links are the platform's: no tenant lists them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create_user(self, scope: Scope, user: User) -> None:
        """Add a person. Raises ``Conflict`` when the e-mail or id exists already, or there is no such tenant."""
        must_own(scope, user.tenant)
        values = asdict(user) | {"email": user.email.strip().lower()}
        taken = sa.select(schema.users.c.id).where(schema.users.c.email == values["email"])
        owner = sa.select(schema.tenants.c.id).where(schema.tenants.c.id == user.tenant)
        async with self._database.write() as connection:
            if user.tenant is not None and not (await connection.execute(owner)).first():
                raise Conflict(f"there is no tenant {user.tenant}")
            if (await connection.execute(taken)).first():
                raise Conflict(f"{values['email']} exists already")
            await connection.execute(sa.insert(schema.users).values(**values))

    async def get_user(self, scope: Scope, id: str) -> User | None:
        """One person; None when there is none within the scope."""
        return await self._user(schema.users.c.id == id, within(scope, schema.users.c.tenant))

    async def find_email(self, scope: Scope, email: str) -> User | None:
        """The person with an e-mail address, in any case."""
        platform_only(scope)
        return await self._user(schema.users.c.email == email.strip().lower(), sa.true())

    async def list_users(self, scope: Scope, tenant: str | None = None) -> list[User]:
        """The people of a tenant, or the platform's own (``tenant`` None in the platform's scope), by e-mail."""
        table = schema.users
        wanted = tenant if scope.tenant is None or tenant is not None else scope.tenant
        query = sa.select(table).where(table.c.tenant.is_not_distinct_from(wanted), within(scope, table.c.tenant))
        async with self._database.read() as connection:
            return [user_of(row) for row in await connection.execute(query.order_by(table.c.email))]

    async def set_password(self, scope: Scope, id: str, password_hash: str) -> bool:
        """Store a new password's hash; False when there is no such person within the scope."""
        return await self._change(scope, id, {"password_hash": password_hash})

    async def set_user_status(self, scope: Scope, id: str, status: Literal["active", "disabled"]) -> bool:
        """Let a person in, or no longer; False when there is no such person within the scope."""
        return await self._change(scope, id, {"status": status})

    async def set_role(self, scope: Scope, id: str, role: Role) -> bool:
        """Give a person another role; False when there is no such person within the scope."""
        return await self._change(scope, id, {"role": role})

    async def set_name(self, scope: Scope, id: str, name: str) -> bool:
        """Call a person otherwise; False when there is no such person within the scope."""
        return await self._change(scope, id, {"name": name})

    async def set_verified(self, scope: Scope, id: str, now_us: int) -> bool:
        """Note that the person reads their e-mail; False when there is no such person within the scope."""
        return await self._change(scope, id, {"verified_us": now_us})

    async def has_admin(self, scope: Scope, besides: str = "") -> bool:
        """Whether anybody administers the platform, ``besides`` whoever has this address."""
        platform_only(scope)
        table = schema.users
        query = sa.select(table.c.id).where(
            table.c.tenant.is_(None), table.c.role == "admin", table.c.status == "active", table.c.email != besides
        )
        async with self._database.read() as connection:
            return (await connection.execute(query.limit(1))).first() is not None

    async def open_session(self, scope: Scope, session: Session) -> None:
        """Start a session."""
        platform_only(scope)
        async with self._database.write() as connection:
            await connection.execute(sa.insert(schema.sessions).values(**asdict(session)))

    async def session(self, scope: Scope, id: str) -> Session | None:
        """One session, over or not: the caller compares the times."""
        platform_only(scope)
        query = sa.select(schema.sessions).where(schema.sessions.c.id == id)
        async with self._database.read() as connection:
            row = (await connection.execute(query)).one_or_none()
        return session_of(row) if row else None

    async def sessions(self, scope: Scope, user: str, now_us: int) -> list[Session]:
        """A person's living sessions, newest first."""
        platform_only(scope)
        table = schema.sessions.c
        living = (
            table.user == user,
            table.revoked_us.is_(None),
            table.idle_expires_us > now_us,
            table.expires_us > now_us,
        )
        query = sa.select(schema.sessions).where(*living).order_by(table.created_us.desc(), table.id)
        async with self._database.read() as connection:
            return [session_of(row) for row in await connection.execute(query)]

    async def touch_session(self, scope: Scope, id: str, idle_expires_us: int) -> None:
        """Move a session's idle end; never back."""
        platform_only(scope)
        table = schema.sessions
        later = sa.update(table).where(table.c.id == id, table.c.idle_expires_us < idle_expires_us)
        async with self._database.write() as connection:
            await connection.execute(later.values(idle_expires_us=idle_expires_us))

    async def refresh_session(self, scope: Scope, id: str, refreshes: int, idle_expires_us: int) -> bool:
        """Exchange a refresh token: count from ``refreshes`` to the next and move the idle end. False when the session
        has ended, or its count is another: of two who bring the same token, one gets on."""
        platform_only(scope)
        table = schema.sessions
        fresh = sa.update(table).where(table.c.id == id, table.c.refreshes == refreshes, table.c.revoked_us.is_(None))
        async with self._database.write() as connection:
            done = await connection.execute(fresh.values(refreshes=refreshes + 1, idle_expires_us=idle_expires_us))
            return done.rowcount > 0

    async def revoke_session(self, scope: Scope, id: str, now_us: int) -> None:
        """End one session."""
        platform_only(scope)
        await self._revoke(schema.sessions.c.id == id, now_us)

    async def revoke_sessions(self, scope: Scope, user: str, now_us: int) -> None:
        """End all sessions of a person."""
        platform_only(scope)
        await self._revoke(schema.sessions.c.user == user, now_us)

    async def create_link(self, scope: Scope, link: Link) -> None:
        """Add a one-time link."""
        platform_only(scope)
        async with self._database.write() as connection:
            await connection.execute(sa.insert(schema.links).values(**asdict(link)))

    async def use_link(
        self, scope: Scope, hash: bytes, now_us: int, purposes: Sequence[LinkPurpose] = LOGIN_PURPOSES
    ) -> Link | None:
        """Use up a link for one of ``purposes``: of all who ask, one gets it; None when it is unknown, used or over."""
        platform_only(scope)
        table = schema.links
        fresh = sa.update(table).where(
            table.c.hash == hash,
            table.c.purpose.in_(purposes),
            table.c.used_us.is_(None),
            table.c.expires_us > now_us,
        )
        async with self._database.write() as connection:
            row = (await connection.execute(fresh.values(used_us=now_us).returning(*table.c))).one_or_none()
        return link_of(row) if row else None

    async def _user(self, *conditions: sa.ColumnElement[bool]) -> User | None:
        async with self._database.read() as connection:
            row = (await connection.execute(sa.select(schema.users).where(*conditions))).one_or_none()
        return user_of(row) if row else None

    async def _change(self, scope: Scope, id: str, values: dict[str, object]) -> bool:
        table = schema.users
        change = sa.update(table).where(table.c.id == id, within(scope, table.c.tenant)).values(values)
        async with self._database.write() as connection:
            return (await connection.execute(change)).rowcount > 0

    async def _revoke(self, condition: sa.ColumnElement[bool], now_us: int) -> None:
        table = schema.sessions
        async with self._database.write() as connection:
            await connection.execute(
                sa.update(table).where(condition, table.c.revoked_us.is_(None)).values(revoked_us=now_us)
            )
