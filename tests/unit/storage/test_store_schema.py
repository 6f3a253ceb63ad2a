"""Opening, migrating and refusing databases."""

import asyncio
import importlib
import random
import sqlite3
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations
from support.records import frames, varied

from gateway.errors import GatewayError
from gateway.storage.migrate import SchemaTooNew, SchemaTooOld, migrate
from gateway.storage.ports import PLATFORM
from gateway.storage.schema import REVISION, metadata
from gateway.storage.store import Store, open_store

URL = "sqlite:///data/gateway.db"


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await open_store(URL, tmp_path)
    yield opened
    await opened.close()


async def test_a_new_store_is_made_private_and_durable(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "data" / "gateway.db"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    async with store.database.read() as connection:
        pragmas = {
            name: (await connection.execute(sa.text(f"PRAGMA {name}"))).scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 10_000}


async def test_migrations_make_what_the_queries_expect(store: Store, tmp_path: Path) -> None:
    engine = sa.create_engine(f"sqlite:///{tmp_path}/data/gateway.db")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection)
        assert context.get_current_revision() == REVISION
        assert compare_metadata(context, metadata) == []


async def test_migrating_again_changes_nothing(tmp_path: Path) -> None:
    assert await migrate(URL, tmp_path) == (None, REVISION)
    assert await migrate(URL, tmp_path) == (REVISION, REVISION)


async def test_a_newer_schema_is_refused(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "data" / "gateway.db"
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(SchemaTooNew, match="9999"):
        await open_store(URL, tmp_path)
    with pytest.raises(SchemaTooNew):
        await migrate(URL, tmp_path)


async def test_a_store_is_not_made_when_told_not_to(tmp_path: Path) -> None:
    with pytest.raises(SchemaTooOld):
        await open_store(URL, tmp_path, migrate=False)
    assert not (tmp_path / "data").exists()


async def test_somebody_elses_database_is_left_alone(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "other.db") as connection:
        connection.execute("CREATE TABLE theirs (a)")
    with pytest.raises(GatewayError, match="something else"):
        await open_store("sqlite:///other.db", tmp_path)


@pytest.mark.parametrize("url", ["mysql://host/db", "sqlite://", "sqlite:///"])
async def test_unknown_urls_are_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(GatewayError, match=r"store\.url"):
        await open_store(url, tmp_path)


async def test_four_slashes_are_absolute(tmp_path: Path) -> None:
    store = await open_store(f"sqlite:///{tmp_path}/here.db", Path("/nowhere"))
    await store.close()
    assert (tmp_path / "here.db").exists()


def test_several_processes_may_start_at_once(tmp_path: Path) -> None:
    code = (
        "import asyncio, sys; from pathlib import Path\n"
        "from gateway.storage.store import open_store\n"
        "async def main():\n"
        f"    store = await open_store({URL!r}, Path(sys.argv[1])); await store.close()\n"
        "asyncio.run(main())"
    )
    started = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path)]) for _ in range(3)]
    assert [process.wait(30) for process in started] == [0, 0, 0]


async def test_one_store_opened_twice_in_a_process(tmp_path: Path) -> None:
    first, second = await asyncio.gather(open_store(URL, tmp_path), open_store(URL, tmp_path))
    await first.close()
    await second.close()


async def test_coarse_sums_are_made_from_what_is_there(store: Store, tmp_path: Path) -> None:
    await store.ledger.post("a", frames(varied(random.Random(4), 300), "a"))
    await store.close()
    engine = sa.create_engine(f"sqlite:///{tmp_path}/data/gateway.db")
    with engine.begin() as connection:  # those steps alone, whatever came between and after them
        for table in ("rollup_sums", "rollup_unit_sums"):
            connection.execute(sa.text(f"DROP TABLE {table}"))
        with Operations.context(MigrationContext.configure(connection)):
            for step in ("0006_coarse_rollups", "0009_tenant_days"):
                importlib.import_module(f"gateway.storage.migrations.versions.{step}").upgrade()
    again = await open_store(URL, tmp_path)
    assert await again.ledger.rollup_differences(PLATFORM) == []
    await again.close()
