"""A ledger of its own on each engine, made anew as often as a test asks."""

import asyncio
import itertools
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from support.services import PostgresServer

from gateway.storage.migrate import migrate
from gateway.storage.store import Store, open_store

Opener = Callable[[], AbstractAsyncContextManager[Store]]
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated database to copy: migrating for each example would take most of the time."""
    path = tmp_path_factory.mktemp("ledger") / "empty.db"
    asyncio.run(migrate("sqlite:///empty.db", path.parent))
    return path


# A database an example takes long: PostgreSQL's turn is with ``make prove``; the contract suite is on both always.
ENGINES = ["sqlite", "postgresql"] if os.environ.get("PROVE") == "1" else ["sqlite"]


@pytest.fixture(scope="session", params=ENGINES)
def fresh_store(request: pytest.FixtureRequest) -> Opener:
    """``fresh_store()``: an empty store for one example."""
    if request.param == "sqlite":
        return _files(request.getfixturevalue("empty_database"))
    return _databases(request.getfixturevalue("postgres_server"), request.getfixturevalue("postgres_template"))


def _files(empty: Path) -> Opener:
    @asynccontextmanager
    async def opened() -> AsyncIterator[Store]:
        with tempfile.TemporaryDirectory() as folder:
            shutil.copy(empty, Path(folder) / "gateway.db")
            store = await open_store("sqlite:///gateway.db", Path(folder))
            try:
                yield store
            finally:
                await store.close()

    return opened


def _databases(server: PostgresServer, template: str) -> Opener:
    @asynccontextmanager
    async def opened() -> AsyncIterator[Store]:
        name = f"example_{os.getpid()}_{next(_numbers)}"
        store = await open_store(server.create_database(name, template), Path("/"))
        try:
            yield store
        finally:
            await store.close()
            server.drop_database(name)

    return opened
