"""A ledger in a folder of its own, made anew as often as a test asks."""

import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from gateway.storage.migrate import migrate
from gateway.storage.store import Store, open_store

Opener = Callable[[], AbstractAsyncContextManager[Store]]


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated database to copy: migrating for each example would take most of the time."""
    import asyncio

    path = tmp_path_factory.mktemp("ledger") / "empty.db"
    asyncio.run(migrate("sqlite:///empty.db", path.parent))
    return path


@pytest.fixture(scope="session")
def fresh_store(empty_database: Path) -> Opener:
    @asynccontextmanager
    async def opened() -> AsyncIterator[Store]:
        with tempfile.TemporaryDirectory() as folder:
            shutil.copy(empty_database, Path(folder) / "gateway.db")
            store = await open_store("sqlite:///gateway.db", Path(folder))
            try:
                yield store
            finally:
                await store.close()

    return opened
