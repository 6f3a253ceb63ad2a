"""Personal tokens: what lets a person's programs in, by the hash of their text."""

from dataclasses import asdict

import sqlalchemy as sa

from gateway.storage.account_schema import personal_tokens
from gateway.storage.account_values import PersonalToken
from gateway.storage.engine import Database
from gateway.storage.ports import Scope
from gateway.storage.rows import AnyRow
from gateway.storage.schema import users
from gateway.storage.scoping import platform_only, within


class Tokens:
    """The repository of personal tokens. They are their person's: the scope is that of the person's tenant."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, scope: Scope, token: PersonalToken) -> bool:
        """Add a token; False when its person is not within the scope."""
        owner = sa.select(users.c.id).where(users.c.id == token.user, within(scope, users.c.tenant))
        async with self._database.write() as connection:
            if not (await connection.execute(owner)).first():
                return False
            await connection.execute(
                sa.insert(personal_tokens).values(**asdict(token) | {"scopes": list(token.scopes)})
            )
        return True

    async def list(self, scope: Scope, user: str) -> list[PersonalToken]:
        """A person's tokens, newest first, revoked ones too."""
        table = personal_tokens
        query = sa.select(table).join(users, users.c.id == table.c.user)
        query = query.where(table.c.user == user, within(scope, users.c.tenant))
        async with self._database.read() as connection:
            rows = await connection.execute(query.order_by(table.c.created_us.desc(), table.c.id))
            return [_token_of(row) for row in rows]

    async def find(self, scope: Scope, hash: bytes) -> PersonalToken | None:
        """The token with this hash, over or not: the caller compares the times."""
        platform_only(scope)
        query = sa.select(personal_tokens).where(personal_tokens.c.hash == hash)
        async with self._database.read() as connection:
            row = (await connection.execute(query)).one_or_none()
        return _token_of(row) if row else None

    async def revoke(self, scope: Scope, user: str, id: str, now_us: int) -> bool:
        """End a token of a person; False when there is none within the scope. One that has ended stays as it is."""
        table = personal_tokens
        theirs = sa.select(users.c.id).where(users.c.id == user, within(scope, users.c.tenant))
        mine = sa.update(table).where(table.c.id == id, table.c.user.in_(theirs))
        ended = sa.func.coalesce(table.c.revoked_us, now_us)
        async with self._database.write() as connection:
            return (await connection.execute(mine.values(revoked_us=ended))).rowcount > 0

    async def touch(self, scope: Scope, id: str, now_us: int) -> None:
        """Note that a token was used."""
        platform_only(scope)
        table = personal_tokens
        async with self._database.write() as connection:
            await connection.execute(sa.update(table).where(table.c.id == id).values(last_used_us=now_us))


def _token_of(row: AnyRow) -> PersonalToken:
    return PersonalToken(**row._asdict() | {"scopes": tuple(row.scopes)})
