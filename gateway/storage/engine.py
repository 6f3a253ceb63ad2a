"""Opening the database: where a store's URL points, and how each connection is set up."""

import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from gateway.errors import GatewayError, StoreUnavailable

BUSY_TIMEOUT_S = 10
_PREFIX = "sqlite:///"


class Conflict(GatewayError):
    """Something of that identity exists already, or what it belongs to does not."""


def sqlite_path(url: str, folder: Path) -> Path:
    """The file behind ``sqlite:///relative`` or ``sqlite:////absolute``; raises ``GatewayError`` for another URL."""
    if not url.startswith(_PREFIX) or len(url) == len(_PREFIX):
        raise GatewayError(f"store.url {url.split('@')[-1]!r}: expected sqlite:///FILE or postgresql://USER@HOST/DB")
    return folder / url.removeprefix(_PREFIX)


# WAL lets pages be read while a batch is written. FULL makes every commit durable before the cursor's move is told
# (SEMANTICS §24).
PRAGMAS = (
    f"PRAGMA busy_timeout={BUSY_TIMEOUT_S * 1000}",
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA foreign_keys=ON",
    "PRAGMA cache_size=-32768",
    "PRAGMA journal_size_limit=67108864",
)


def create_engine(path: Path) -> AsyncEngine:
    """An engine whose transactions begin explicitly: ``BEGIN IMMEDIATE`` for writers, so that they never deadlock."""
    engine = create_async_engine(
        f"sqlite+aiosqlite:///{path}", pool_size=4, max_overflow=8, pool_timeout=BUSY_TIMEOUT_S
    )

    @sa.event.listens_for(engine.sync_engine, "connect")
    def _connected(connection: Any, _record: object) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in PRAGMAS:
            cursor.execute(pragma)
        cursor.close()

    @sa.event.listens_for(engine.sync_engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        immediate = connection.get_execution_options().get("immediate")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")

    return engine


def connect_raw(path: Path) -> sqlite3.Connection:
    """A plain connection for the bulk path; it may be used from one thread at a time."""
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    for pragma in PRAGMAS:
        connection.execute(pragma).close()
    return connection


@contextmanager
def store_errors() -> Iterator[None]:
    """Turn what drivers raise into the store's own errors."""
    try:
        yield
    except sa.exc.IntegrityError as error:
        raise Conflict(f"refused by the store: {error.orig}") from error
    except (sa.exc.DBAPIError, sa.exc.TimeoutError, sqlite3.Error, OSError) as error:
        raise StoreUnavailable(f"the store did not answer: {error}") from error


class Database:
    """One engine with its two kinds of transactions. ``name`` says in messages which database it is."""

    def __init__(self, engine: AsyncEngine, name: str) -> None:
        self.engine = engine
        self.name = name
        self._writer = engine.execution_options(immediate=True)

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """One consistent view."""
        with store_errors():
            async with self.engine.connect() as connection:
                yield connection

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """One transaction: committed at the end of the block, rolled back on an error; writers take turns."""
        with store_errors():
            async with self._writer.begin() as connection:
                yield connection

    async def close(self) -> None:
        await self.engine.dispose()


class SqliteDatabase(Database):
    """A file of this host's."""

    def __init__(self, path: Path) -> None:
        super().__init__(create_engine(path), str(path))
        self.path = path
