"""Bringing a database to this code's schema: under a lock, all or nothing, and never back."""

import asyncio
import fcntl
import os
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.errors import GatewayError
from gateway.storage.engine import Database, SqliteDatabase, sqlite_path, store_errors
from gateway.storage.location import is_postgres
from gateway.storage.schema import REVISION

MIGRATIONS = Path(__file__).parent / "migrations"


class SchemaTooNew(GatewayError):
    """The database was written by a newer gateway."""

    def __init__(self, found: str) -> None:
        super().__init__(
            f"the database has schema {found}, this gateway knows up to {REVISION}: "
            "start the newer gateway again, or restore the backup made before the upgrade"
        )


class SchemaTooOld(GatewayError):
    """The database needs a migration first."""

    def __init__(self, found: str | None) -> None:
        super().__init__(f"the database has schema {found or 'none'}, needs {REVISION}: run `gateway migrate`")


async def revision_of(database: Database) -> str | None:
    """The schema a database has; None when it is empty."""
    async with database.read() as connection:
        return await revision_in(connection, database.name)


async def revision_in(connection: AsyncConnection, name: str) -> str | None:
    """The same on an open connection; ``name`` is for the message that this database is not ours."""
    names = await connection.run_sync(lambda sync: sa.inspect(sync).get_table_names())
    if "alembic_version" not in names:
        if names:
            raise GatewayError(f"{name} is a database of something else: choose another")
        return None
    row = (await connection.execute(sa.text("SELECT version_num FROM alembic_version"))).first()
    return str(row[0]) if row else None


def check(found: str | None) -> None:
    """Raise unless this code can work with the schema."""
    if found == REVISION:
        return
    if found is not None and found > REVISION:  # revisions are four digits
        raise SchemaTooNew(found)
    raise SchemaTooOld(found)


async def migrate(url: str, folder: Path) -> tuple[str | None, str]:
    """Upgrade the store at ``url``; a file is made when missing. Returns the schema before and after.

    Safe with several processes, and several hosts, starting at once: one does the work, the others find it done.
    Raises ``SchemaTooNew``.
    """
    if is_postgres(url):
        return await _migrate_server(url)
    path = sqlite_path(url, folder)
    with store_errors():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = await asyncio.to_thread(_lock, path.with_name(path.name + ".lock"))
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))  # accounts are in it
            return await _migrate(SqliteDatabase(path))
        finally:
            os.close(lock)


async def _migrate_server(url: str) -> tuple[str | None, str]:
    from gateway.storage.postgres import MIGRATION_LOCK, PostgresDatabase, lock

    database = PostgresDatabase(url)
    waiting = database.engine
    try:
        with store_errors():
            async with waiting.begin() as connection:
                # One transaction holds the lock, looks and upgrades: whoever waited for it finds the work done.
                await lock(connection, MIGRATION_LOCK)
                found = await revision_in(connection, database.name)
                if _is_old(found):
                    await connection.run_sync(_upgrade)
        return found, REVISION
    finally:
        await database.close()


async def _migrate(database: Database) -> tuple[str | None, str]:
    try:
        found = await revision_of(database)
        if _is_old(found):
            async with database.write() as connection:
                await connection.run_sync(_upgrade)
        return found, REVISION
    finally:
        await database.close()


def _is_old(found: str | None) -> bool:
    try:
        check(found)
    except SchemaTooOld:
        return True
    return False


def _upgrade(connection: sa.Connection) -> None:
    # Alembic is slow to import, and most starts need none of it.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _lock(path: Path) -> int:
    """Wait for the lock file; it is held until the descriptor is closed."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(fd, fcntl.LOCK_EX)
    return fd
