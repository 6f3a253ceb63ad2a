# ruff: noqa: PT012 - what is raised is raised by leaving a unit, after several statements
"""A unit of work: everything within it is committed at its end or not at all, and sees one state, on both stores."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from gateway.storage import schema
from gateway.storage.engine import Conflict, Contended
from gateway.storage.ports import PLATFORM
from gateway.storage.store import Store, open_store
from gateway.tenants.model import Key, Tenant


@pytest.fixture
async def store(tmp_path: Path, store_url: str) -> AsyncIterator[Store]:
    opened = await open_store(store_url, tmp_path)
    yield opened
    await opened.close()


async def make(store: Store, id: str) -> None:
    await store.tenants.create(PLATFORM, Tenant(id, id, "free", source="store"), 1)


async def tenants(store: Store) -> list[str]:
    return [one.id for one in (await store.tenants.list(PLATFORM)).rows]


async def test_all_or_nothing(store: Store) -> None:
    with pytest.raises(ZeroDivisionError):
        async with store.unit():
            await make(store, "a")
            assert await tenants(store) == ["a"]  # seen within
            raise ZeroDivisionError
    assert await tenants(store) == []
    assert await store.changes.latest(PLATFORM) == 0
    async with store.unit():
        await make(store, "a")
        await make(store, "b")
    assert await tenants(store) == ["a", "b"]


async def test_a_unit_within_a_unit_is_undone_alone(store: Store) -> None:
    async with store.unit():
        await make(store, "a")
        with pytest.raises(Conflict):
            async with store.unit():
                await make(store, "b")
                await make(store, "a")
        with pytest.raises(Conflict):
            await make(store, "a")  # a single refused write leaves the rest, too
        await make(store, "c")
    assert await tenants(store) == ["a", "c"]


async def test_what_waits_for_the_commit(store: Store) -> None:
    done: list[str] = []

    async def tell() -> None:
        done.append(",".join(await tenants(store)))

    await store.once_committed(tell)
    async with store.unit():
        await make(store, "a")
        await store.once_committed(tell)
        assert done == [""]
    with pytest.raises(ZeroDivisionError):
        async with store.unit():
            await store.once_committed(tell)
            raise ZeroDivisionError
    assert done == ["", "a"]


async def test_a_row_that_moved_meanwhile_is_told_apart(store: Store, store_url: str) -> None:
    if store_url.startswith("sqlite"):
        pytest.skip("a SQLite unit has the file to itself")
    await make(store, "a")
    key = Key("k", "a", b"h" * 32, "k", source="store", created_us=1)
    await store.keys.create(PLATFORM, key)
    other = await open_store(store_url, Path("/"))
    used = sa.update(schema.keys).values(last_used_us=7)
    with pytest.raises(Contended):
        async with store.unit():
            assert [one.id for one in await store.keys.list(PLATFORM, "a")] == ["k"]
            async with other.database.engine.begin() as shipper:  # as the bulk path: it waits for nobody's turn
                await shipper.execute(used)
            await store.keys.revoke(PLATFORM, "k", 9)
    async with store.unit():  # undone, its lock given back: at once again
        await store.keys.revoke(PLATFORM, "k", 9)
    await other.close()
    assert (await store.keys.list(PLATFORM, "a"))[0].revoked_us == 9
