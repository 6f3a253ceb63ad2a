"""Answers kept for requests with an Idempotency-Key, so that a repeat is answered and not done again."""

import sqlalchemy as sa

from gateway.storage.account_schema import kept_answers
from gateway.storage.account_values import KeptAnswer
from gateway.storage.engine import Database
from gateway.storage.ports import Scope
from gateway.storage.scoping import platform_only


class KeptAnswers:
    """The repository of kept answers. They belong to the API itself: ``principal`` is who asked, and in whose name."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, scope: Scope, principal: str, key: str) -> KeptAnswer | None:
        """What the first request with this key was answered."""
        platform_only(scope)
        table = kept_answers
        query = sa.select(table).where(table.c.principal == principal, table.c.key == key)
        async with self._database.read() as connection:
            row = (await connection.execute(query)).one_or_none()
        return KeptAnswer(row.request, row.status, row.answer, row.created_us) if row else None

    async def keep(self, scope: Scope, principal: str, key: str, answer: KeptAnswer) -> None:
        """Keep an answer; raises ``Conflict`` when the key has one. In the unit that does what is answered."""
        platform_only(scope)
        values = {name: getattr(answer, name) for name in ("request", "status", "answer", "created_us")}
        async with self._database.write() as connection:
            await connection.execute(sa.insert(kept_answers).values(principal=principal, key=key, **values))

    async def forget(self, scope: Scope, before_us: int) -> None:
        """Drop what is older."""
        platform_only(scope)
        async with self._database.write() as connection:
            await connection.execute(sa.delete(kept_answers).where(kept_answers.c.created_us < before_us))
