"""Opening the database: where a store's URL points, and how each connection is set up."""

import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
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


def connect_to_look(path: Path) -> sqlite3.Connection:
    """A plain connection for one short read at a time, on the event loop: it waits for nobody."""
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=0, isolation_level=None)


class Contended(StoreUnavailable):
    """A transaction met another one and is undone: it may be done again at once."""


@contextmanager
def store_errors() -> Iterator[None]:
    """Turn what drivers raise into the store's own errors."""
    try:
        yield
    except sa.exc.IntegrityError as error:
        raise Conflict(f"refused by the store: {error.orig}") from error
    except (sa.exc.DBAPIError, sa.exc.TimeoutError, sqlite3.Error, OSError) as error:
        if getattr(getattr(error, "orig", None), "sqlstate", "") in ("40001", "40P01"):
            raise Contended(f"the store was busy: {error}") from error
        raise StoreUnavailable(f"the store did not answer: {error}") from error


Later = Callable[[], Awaitable[object]]
"""What waits for a commit."""


@dataclass(slots=True)
class _Unit:
    """The transaction that the present task is in, and what is done once it is committed."""

    database: "Database"
    connection: AsyncConnection
    later: list[Later] = field(default_factory=list)


_unit: ContextVar[_Unit | None] = ContextVar("unit of work", default=None)


class Database:
    """One engine with its two kinds of transactions. ``name`` says in messages which database it is.

    Within ``unit`` everything that the task reads and writes is one transaction.
    """

    def __init__(self, engine: AsyncEngine, name: str) -> None:
        self.engine = engine
        self.name = name
        self._writer = engine.execution_options(immediate=True)

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """One consistent view."""
        unit = self._joined()
        with self._errors():
            if unit is not None:
                yield unit.connection
                return
            async with self._reading() as connection:
                yield connection

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """One transaction: committed at the end of the block, rolled back on an error; writers take turns."""
        unit = self._joined()
        with self._errors():
            if unit is not None:
                async with unit.connection.begin_nested():
                    yield unit.connection
                return
            async with self._writing() as connection:
                yield connection

    @asynccontextmanager
    async def unit(self) -> AsyncIterator[None]:
        """All reads and writes of this task within the block see one state and are committed at its end, or none is.

        A block within a block is undone alone when it raises.
        """
        if self._joined() is not None:
            async with self.write():
                yield
            return
        with self._errors():
            async with self._whole() as connection:
                unit = _Unit(self, connection)
                token = _unit.set(unit)
                try:
                    yield
                finally:
                    _unit.reset(token)
        for action in unit.later:
            await action()

    async def once_committed(self, action: Later) -> None:
        """Do it when the unit under way is committed (never, if it is not), without one at once."""
        unit = self._joined()
        if unit is None:
            await action()
        else:
            unit.later.append(action)

    async def close(self) -> None:
        await self.engine.dispose()

    def _joined(self) -> _Unit | None:
        unit = _unit.get()
        return unit if unit is not None and unit.database is self else None

    def _errors(self) -> AbstractContextManager[None]:
        return store_errors()

    @asynccontextmanager
    async def _reading(self) -> AsyncIterator[AsyncConnection]:
        async with self.engine.connect() as connection:
            yield connection

    @asynccontextmanager
    async def _writing(self) -> AsyncIterator[AsyncConnection]:
        async with self._writer.begin() as connection:
            yield connection

    @asynccontextmanager
    async def _whole(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that nobody else writes beside, and that sees one state."""
        async with self._writing() as connection:
            yield connection


class SqliteDatabase(Database):
    """A file of this host's."""

    def __init__(self, path: Path) -> None:
        super().__init__(create_engine(path), str(path))
        self.path = path
