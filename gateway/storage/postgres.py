"""PostgreSQL: where a store's URL points, how each connection is set up, and the locks that many hosts share.

``postgresql://user@host/db`` as libpq reads it (``sslmode``, several hosts, ``passfile`` …): asyncpg parses it.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, asynccontextmanager
from urllib.parse import urlsplit

import asyncpg
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from gateway.errors import GatewayError, StoreUnavailable
from gateway.storage.engine import Database, store_errors

PREFIX = "postgresql://"
CONNECT_TIMEOUT_S = 5.0
COMMAND_TIMEOUT_S = 60.0

# Advisory locks are of one database: any two numbers that nobody else would take.
MIGRATION_LOCK = 0x6777_0001
WRITE_LOCK = 0x6777_0002
PARTITION_LOCK = 0x6777_0003

DRIVER_ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError)
"""What asyncpg raises when the server refuses, ends or does not answer."""


def unavailable(error: BaseException) -> StoreUnavailable:
    """The store's own error; the driver's text names no password."""
    return StoreUnavailable(f"the store did not answer: {error or type(error).__name__}")


def server_name(url: str) -> str:
    """A store's URL without user and password, for messages."""
    return PREFIX + urlsplit(url).netloc.rpartition("@")[2] + urlsplit(url).path


async def connect(url: str) -> asyncpg.Connection:
    """One connection whose commits are durable (SEMANTICS §24); raises ``StoreUnavailable``."""
    try:
        connection = await asyncpg.connect(
            url,
            timeout=CONNECT_TIMEOUT_S,
            command_timeout=COMMAND_TIMEOUT_S,
            server_settings={"application_name": "gateway"},
        )
    except DRIVER_ERRORS as error:
        raise unavailable(error) from error
    except ValueError as error:
        raise GatewayError(f"store.url: {server_name(url)} cannot be read as a PostgreSQL URL") from error
    try:
        if await connection.fetchval("SHOW synchronous_commit") == "off":
            await connection.execute("SET synchronous_commit = on")
    except DRIVER_ERRORS as error:
        connection.terminate()
        raise unavailable(error) from error
    return connection


@contextlib.contextmanager
def server_errors() -> Iterator[None]:
    """``store_errors``, and what asyncpg raises when a connection is cut in the middle of its own affairs."""
    try:
        with store_errors():
            yield
    except DRIVER_ERRORS as error:
        raise unavailable(error) from error


class PostgresDatabase(Database):
    """Transactions as SQLite has them: a read sees one snapshot, and writers go one after the other.

    The bulk path of the ledger is beside them: it orders itself by the ledger's head.
    """

    def __init__(self, url: str) -> None:
        async def opened(*_: object, **__: object) -> asyncpg.Connection:
            return await connect(url)

        engine = create_async_engine(
            "postgresql+asyncpg://",
            async_creator=opened,
            pool_size=4,
            max_overflow=8,
            pool_timeout=10,
            pool_pre_ping=True,
        )
        super().__init__(engine, server_name(url))
        self.url = url
        self._reader = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)

    def _errors(self) -> AbstractContextManager[None]:
        return server_errors()

    @asynccontextmanager
    async def _reading(self) -> AsyncIterator[AsyncConnection]:
        async with self._reader.connect() as connection:
            yield connection

    @asynccontextmanager
    async def _writing(self) -> AsyncIterator[AsyncConnection]:
        async with self.engine.begin() as connection:
            await lock(connection, WRITE_LOCK)
            yield connection

    @asynccontextmanager
    async def _whole(self) -> AsyncIterator[AsyncConnection]:
        """The turn is waited for before the transaction begins, so that its one view is of after the wait."""
        async with self.engine.connect() as connection:
            await connection.execution_options(isolation_level="AUTOCOMMIT")
            await _take(connection, "pg_advisory_lock")
            try:
                await connection.execution_options(isolation_level="REPEATABLE READ")
                async with connection.begin():
                    yield connection
            finally:
                try:
                    await connection.execution_options(isolation_level="AUTOCOMMIT")
                    await _take(connection, "pg_advisory_unlock")
                except BaseException:
                    await connection.invalidate()  # with the connection its lock ends
                    raise


async def _take(connection: AsyncConnection, function: str) -> None:
    await connection.execute(sa.text(f"SELECT {function}(CAST(:number AS bigint))"), {"number": WRITE_LOCK})
    await connection.commit()


async def lock(connection: AsyncConnection, number: int) -> None:
    """Wait for one of the locks above; it is held until the transaction ends."""
    await connection.execute(sa.text("SELECT pg_advisory_xact_lock(CAST(:number AS bigint))"), {"number": number})


class Listener:
    """A connection that hears of changes (SEMANTICS §31). With the server gone it hears nothing, and comes back."""

    def __init__(self, url: str, channel: str) -> None:
        self._url = url
        self._channel = channel
        self._rung = asyncio.Event()
        self._connection: asyncpg.Connection | None = None

    async def wait(self, seconds: float) -> None:
        """Until the next notification, ``seconds`` at most. A server that does not answer is no error here."""
        start = time.monotonic()
        with contextlib.suppress(StoreUnavailable, TimeoutError):
            await self._listen()
            await asyncio.wait_for(self._rung.wait(), seconds)
            self._rung.clear()
            return
        await asyncio.sleep(max(0.0, seconds - (time.monotonic() - start)))

    async def _listen(self) -> None:
        if self._connection is not None and not self._connection.is_closed():
            return
        connection = await connect(self._url)
        try:
            await connection.add_listener(self._channel, lambda *_: self._rung.set())
        except DRIVER_ERRORS as error:
            connection.terminate()
            raise unavailable(error) from error
        self._connection = connection
        self._rung.set()  # what happened before is looked for

    async def close(self) -> None:
        """Hear no more."""
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None
