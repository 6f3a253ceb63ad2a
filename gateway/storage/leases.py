"""Leases: who of several processes over one store does what only one should do, until when."""

import sqlalchemy as sa

from gateway.storage.engine import Database
from gateway.storage.ports import Scope
from gateway.storage.schema import leases
from gateway.storage.scoping import platform_only


class Leases:
    """The repository of leases. Times are those of whoever asks."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def take(self, scope: Scope, name: str, holder: str, now_us: int, until_us: int) -> bool:
        """Take a lease that nobody holds, or renew one's own; False while another holds it."""
        platform_only(scope)
        table = leases
        free = sa.or_(table.c.holder == holder, table.c.until_us <= now_us)
        async with self._database.write() as connection:
            query = sa.update(table).where(table.c.name == name, free).values(holder=holder, until_us=until_us)
            if (await connection.execute(query)).rowcount:
                return True
            if (await connection.execute(sa.select(table.c.name).where(table.c.name == name))).first():
                return False
            await connection.execute(sa.insert(table).values(name=name, holder=holder, until_us=until_us))
        return True

    async def give_up(self, scope: Scope, name: str, holder: str) -> None:
        """Let another one take it at once; nothing when it is not one's own."""
        platform_only(scope)
        query = sa.update(leases).where(leases.c.name == name, leases.c.holder == holder).values(until_us=0)
        async with self._database.write() as connection:
            await connection.execute(query)
