"""A store that is locked, full, damaged or gone: a clear error, nothing half-written, and on it goes after."""

import sqlite3
from pathlib import Path

import pytest
from support.records import call, frames

from gateway.errors import StoreUnavailable
from gateway.storage import engine
from gateway.storage.ports import PLATFORM
from gateway.storage.sqlite_posting import SqlitePoster
from gateway.storage.store import Store, open_store
from gateway.tenants.model import Tenant

URL = "sqlite:///data/gateway.db"


@pytest.fixture
async def impatient(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store that waits 10 ms for a lock, not 10 s."""
    pragmas = ("PRAGMA busy_timeout=10", *engine.PRAGMAS[1:])
    monkeypatch.setattr(engine, "PRAGMAS", pragmas)
    return await open_store(URL, tmp_path)


async def test_a_locked_database(impatient: Store, tmp_path: Path) -> None:
    ledger = impatient.ledger
    other = sqlite3.connect(tmp_path / "data" / "gateway.db", isolation_level=None)
    await ledger.post("a", frames([call()], "a"))
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match="locked"):
        await ledger.post("a", frames([call()], "a", 2))
    with pytest.raises(StoreUnavailable, match="locked"):
        await impatient.tenants.create(PLATFORM, Tenant(id="t", name="T", plan="p"), 0)
    assert await ledger.count_calls(PLATFORM) == 1  # readers are not disturbed
    other.execute("ROLLBACK")
    assert await ledger.post("a", frames([call()], "a", 2)) == 2
    other.close()
    await impatient.close()


async def test_a_full_database_keeps_whole_batches_only(tmp_path: Path) -> None:
    store = await open_store(URL, tmp_path)
    ledger = store.ledger
    await ledger.post("a", frames([call()], "a"))
    poster = ledger._poster
    assert isinstance(poster, SqlitePoster)
    writer = poster._writer
    assert writer is not None
    pages = writer._connection.execute("PRAGMA page_count").fetchone()[0]
    writer._connection.execute(f"PRAGMA max_page_count={pages + 2}").fetchone()
    with pytest.raises(StoreUnavailable, match="full"):
        await ledger.post("a", frames([call(path="/" * 500) for _ in range(500)], "a", 2))
    assert await ledger.cursors(PLATFORM) == {"a": 1}
    assert await ledger.rollup_differences(PLATFORM) == []
    writer._connection.execute("PRAGMA max_page_count=100000").fetchone()
    assert await ledger.post("a", frames([call() for _ in range(500)], "a", 2)) == 501
    assert await ledger.rollup_differences(PLATFORM) == []
    await store.close()


async def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "gateway.db").write_bytes(b"not a database at all" * 100)
    with pytest.raises(StoreUnavailable, match="not a database"):
        await open_store(URL, tmp_path)


async def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file where the folder should be")
    with pytest.raises(StoreUnavailable):
        await open_store(URL, tmp_path)
