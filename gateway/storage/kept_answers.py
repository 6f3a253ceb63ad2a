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

    async def begin(
        self, scope: Scope, principal: str, key: str, request: bytes, now_us: int, stale_us: int
    ) -> KeptAnswer | None:
        """Claim a key: None when it is claimed now, else what is known of the request that has it.

        A claim that has no answer and is older than ``stale_us`` was left by a process that died: it is taken over.
        """
        platform_only(scope)
        table = kept_answers
        mine = (table.c.principal == principal, table.c.key == key)
        values = {"request": request, "status": 0, "answer": b"", "created_us": now_us}
        async with self._database.write() as connection:
            row = (await connection.execute(sa.select(table).where(*mine))).one_or_none()
            if row is None:
                await connection.execute(sa.insert(table).values(principal=principal, key=key, **values))
                return None
            if row.status == 0 and row.request == request and row.created_us <= now_us - stale_us:
                await connection.execute(sa.update(table).where(*mine).values(**values))
                return None
        return KeptAnswer(row.request, row.status, row.answer, row.created_us)

    async def finish(self, scope: Scope, principal: str, key: str, status: int, answer: bytes) -> None:
        """Keep what the claimed request was answered."""
        platform_only(scope)
        table = kept_answers
        mine = sa.update(table).where(table.c.principal == principal, table.c.key == key, table.c.status == 0)
        async with self._database.write() as connection:
            await connection.execute(mine.values(status=status, answer=answer))

    async def release(self, scope: Scope, principal: str, key: str) -> None:
        """Give a claim back: the request failed and may be tried again."""
        platform_only(scope)
        table = kept_answers
        mine = sa.delete(table).where(table.c.principal == principal, table.c.key == key, table.c.status == 0)
        async with self._database.write() as connection:
            await connection.execute(mine)

    async def forget(self, scope: Scope, before_us: int) -> None:
        """Drop what is older."""
        platform_only(scope)
        async with self._database.write() as connection:
            await connection.execute(sa.delete(kept_answers).where(kept_answers.c.created_us < before_us))
