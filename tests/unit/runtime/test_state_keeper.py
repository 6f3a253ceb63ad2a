"""The published state follows the store, also back to a backup (SEMANTICS §24, 31)."""

from pathlib import Path

import sqlalchemy as sa

from gateway.clock import ManualClock
from gateway.config.loader import load
from gateway.runtime.state_feed import StateFeed, StatePublisher
from gateway.runtime.state_keeper import LOOK_BACK_US, StateKeeper
from gateway.storage import schema
from gateway.storage.ports import PLATFORM
from gateway.storage.store import open_store

YAML = """\
upstreams: {a: {targets: ["http://a"]}}
routes: {r: {match: {paths: [/]}, upstream: a}}
plans: {free: {limits: [{name: d, max: 5, per: day}]}}
tenants: {acme: {plan: free}}
"""


async def test_a_store_that_is_restored_beneath_it_is_published_anew(tmp_path: Path) -> None:
    (tmp_path / "gateway.yaml").write_text(YAML)
    publisher, clock = StatePublisher(tmp_path / "data"), ManualClock(0)
    publisher.publish_config(load(tmp_path / "gateway.yaml", {}))
    feed = StateFeed(tmp_path / "data")
    feed.load()
    store = await open_store("sqlite:///gateway.db", tmp_path)
    keeper = StateKeeper(store, feed, publisher, clock)
    await keeper.start()
    assert not await keeper.turn()
    backed_up = publisher.sequence
    for status in ("suspended", "active"):
        await store.tenants.set_status(PLATFORM, "acme", status, 0, "operator")
        assert await keeper.turn()
    async with store.database.write() as connection:  # what a backup knows
        await connection.execute(
            sa.update(schema.heads).where(schema.heads.c.name == "changes").values(sequence=backed_up)
        )
        await connection.execute(sa.delete(schema.changes).where(schema.changes.c.sequence > backed_up))
    clock.advance(LOOK_BACK_US)
    await keeper.turn()
    assert publisher.sequence == backed_up
    await store.tenants.set_status(PLATFORM, "acme", "suspended", 0, "operator")
    assert await keeper.turn()
    fresh = StateFeed(tmp_path / "data")
    fresh.load()
    assert fresh.tenants["acme"].status == "suspended"
    await store.close()
