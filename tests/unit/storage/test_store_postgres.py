"""PostgreSQL's own: migrating from many hosts, partitions, notifications, a server that stops or kills connections."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from support.records import T0, call, frames, varied
from support.services import PostgresServer, running_postgres

from gateway.errors import GatewayError, StoreUnavailable
from gateway.metering.record import CallRecord
from gateway.storage.migrate import SchemaTooNew, SchemaTooOld, migrate
from gateway.storage.partitions import months_of
from gateway.storage.ports import PLATFORM
from gateway.storage.schema import REVISION, metadata
from gateway.storage.store import Store, open_store
from gateway.tenants.model import Tenant

HERE = Path("/")
MONTH_US = 31 * 86_400_000_000


@pytest.fixture
async def store(postgres_url: str) -> AsyncIterator[Store]:
    opened = await open_store(postgres_url, HERE)
    yield opened
    await opened.close()


@pytest.fixture
def own_server() -> Iterator[PostgresServer]:
    """A server to stop and start."""
    with running_postgres() as server:
        yield server


async def test_many_hosts_migrate_at_once(postgres_url: str) -> None:
    done = await asyncio.gather(*(migrate(postgres_url, HERE) for _ in range(4)))
    assert sorted(done, key=str) == [(REVISION, REVISION)] * 3 + [(None, REVISION)]


async def test_commits_are_durable_whatever_the_servers_default(store: Store) -> None:
    """SEMANTICS §24; the tests' own server says ``off``."""
    async with store.database.write() as connection:
        assert (await connection.execute(sa.text("SHOW synchronous_commit"))).scalar_one() == "on"


async def test_migrations_make_what_the_queries_expect(store: Store) -> None:
    def differences(connection: sa.Connection) -> list[object]:
        # Partitions are the store's own affair, and so is what replaces the key and guards of a partitioned table.
        context = MigrationContext.configure(
            connection,
            opts={"include_name": lambda name, kind, _: kind != "table" or not str(name).startswith("calls_")},
        )
        return [one for one in compare_metadata(context, metadata) if "calls_by_posting" not in str(one)]

    async with store.database.engine.connect() as connection:
        assert await connection.run_sync(differences) == []


async def test_schemas_of_others_and_of_the_future(postgres_url: str) -> None:
    with pytest.raises(SchemaTooOld):
        await open_store(postgres_url, HERE, migrate=False)
    connection = await asyncpg.connect(postgres_url)
    await connection.execute("CREATE TABLE theirs (a int)")
    with pytest.raises(GatewayError, match="something else"):
        await open_store(postgres_url, HERE)
    await connection.execute("DROP TABLE theirs")
    await migrate(postgres_url, HERE)
    await connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(SchemaTooNew, match="9999"):
        await open_store(postgres_url, HERE)
    await connection.close()


async def test_months_have_partitions_and_strange_ids_the_default(store: Store, postgres_url: str) -> None:
    spool = frames([call(T0 + n * MONTH_US) for n in range(3)] + [call(id=b"\xff" * 16), call(id=bytes(16))], "a")
    assert await store.ledger.post("a", spool) == 5
    connection = await asyncpg.connect(postgres_url)
    rows = await connection.fetch("SELECT tableoid::regclass::text AS part, count(*) AS n FROM calls GROUP BY 1")
    assert {row["part"]: row["n"] for row in rows} == {
        "calls_2027_01": 1, "calls_2027_02": 1, "calls_2027_03": 1, "calls_other": 2
    }  # fmt: skip
    await connection.close()


async def test_two_hosts_make_the_same_partitions(postgres_url: str) -> None:
    stores = [await open_store(postgres_url, HERE) for _ in range(2)]
    entries = [call(T0 + n * MONTH_US) for n in range(12)]
    await asyncio.gather(
        *(
            store.ledger.post(name, frames(entries[place::2], name))
            for place, (name, store) in enumerate(zip("ab", stores, strict=True))
        )
    )
    assert await stores[0].ledger.count_calls(PLATFORM) == 12
    for store in stores:
        await store.close()


def test_months_of_ids() -> None:
    assert months_of([bytes(16), b"\xff" * 16]) == set()
    assert months_of([call(T0).id]) == {2027 * 12}


async def test_hosts_take_turns_and_postings_are_in_commit_order(postgres_url: str) -> None:
    stores = [await open_store(postgres_url, HERE) for _ in range(3)]
    watcher = await asyncpg.connect(postgres_url)
    heads = "SELECT sequence FROM heads WHERE name = 'ledger'"
    look = f"SELECT ({heads}) AS head, count(*) AS rows, coalesce(max(posting), 0) AS newest FROM calls"

    async def ship(store: Store, name: str) -> None:
        for start in range(0, 60, 6):
            await store.ledger.post(name, frames([call() for _ in range(6)], name, start + 1))

    async def watch() -> None:
        """Whoever sees a posting sees every smaller one."""
        while True:
            seen = await watcher.fetchrow(look)
            assert seen["head"] == seen["rows"] == seen["newest"]
            if seen["rows"] == 180:
                return

    await asyncio.gather(watch(), *(ship(store, name) for store, name in zip(stores, "abc", strict=True)))
    await watcher.close()
    assert [one.difference for one in await stores[0].ledger.incarnation_sums(PLATFORM)] == [0, 0, 0]
    for store in stores:
        await store.close()


async def test_a_change_is_told(store: Store, postgres_url: str) -> None:
    await store.changes.wait(PLATFORM, 30)  # begins to listen: what was before may be news
    other = await open_store(postgres_url, HERE)
    waiting = asyncio.create_task(store.changes.wait(PLATFORM, 30))
    await other.tenants.create(PLATFORM, Tenant(id="acme", name="A", plan="p"), 1)
    await asyncio.wait_for(waiting, 10)
    await other.close()


async def test_connections_killed_in_mid_batch_lose_nothing(store: Store, postgres_url: str) -> None:
    entries = varied(random.Random(5), 3_000)
    spool, killed = frames(entries, "a"), 0
    killer = await asyncpg.connect(postgres_url)
    posting = asyncio.Event()

    async def kill() -> None:
        nonlocal killed
        rng = random.Random(6)
        while True:
            await posting.wait()
            await asyncio.sleep(rng.random() * 0.04)
            killed += await killer.fetchval(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid != pg_backend_pid()"
            )
            posting.clear()

    killing = asyncio.create_task(kill())
    cursor, failures = 0, 0
    while cursor < len(spool):
        posting.set()
        try:
            cursor = await store.ledger.post("a", spool[cursor : cursor + 250])
        except StoreUnavailable:
            failures += 1
    killing.cancel()
    await asyncio.gather(killing, return_exceptions=True)
    await killer.close()
    print("killed", killed, "failures", failures)
    assert await store.ledger.ids(PLATFORM) == {one.id for one in entries if isinstance(one, CallRecord)}
    assert await store.ledger.rollup_differences(PLATFORM) == []
    assert [one.difference for one in await store.ledger.incarnation_sums(PLATFORM)] == [0]


async def test_a_server_that_stops_and_comes_back(own_server: PostgresServer) -> None:
    url = own_server.create_database("gone")
    store = await open_store(url, HERE)
    await store.ledger.post("a", frames([call()], "a"))
    await asyncio.to_thread(own_server.stop)
    for attempt in (
        lambda: store.ledger.post("a", frames([call()], "a", 2)),
        lambda: store.ledger.count_calls(PLATFORM),
        lambda: open_store(url, HERE),
    ):
        with pytest.raises(StoreUnavailable):
            await attempt()
    await store.changes.wait(PLATFORM, 0.01)
    await asyncio.to_thread(own_server.start)
    assert await store.ledger.post("a", frames([call()], "a", 2)) == 2
    assert await store.ledger.count_calls(PLATFORM) == 2
    await store.close()


async def test_a_url_that_is_none_names_no_password() -> None:
    with pytest.raises(GatewayError) as raised:
        await open_store("postgresql://me:secret@127.0.0.1:1x/db", HERE)
    assert "secret" not in str(raised.value)
    with pytest.raises(StoreUnavailable) as refused:
        await open_store("postgresql://me:secret@127.0.0.1:1/db", HERE)
    assert "secret" not in str(refused.value)
