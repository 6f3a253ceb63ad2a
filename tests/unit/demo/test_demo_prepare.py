"""The demo's data: posted through the ledger once, whatever interrupts it; what the card needs is there."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from gateway.clock import DAY_US, SystemClock
from gateway.config.loader import load
from gateway.config.snapshot import Snapshot
from gateway.demo import chapters
from gateway.demo.home import DemoHome, open_home
from gateway.demo.overrides import data_overrides, tenant_overrides
from gateway.demo.prepare import prepare
from gateway.demo.stories import FREE, NEARLY_FULL, PAYING, demo_tenants, month_limit, story
from gateway.errors import GatewayError, StoreUnavailable
from gateway.metering.ports import Frame
from gateway.period import calendar_period, from_us, to_us
from gateway.storage.ledger import Ledger
from gateway.storage.ports import PLATFORM, Scope
from gateway.storage.store import Store, open_store


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DemoHome:
    monkeypatch.chdir(tmp_path)
    return open_home()


@pytest.fixture
def snapshot(home: DemoHome) -> Snapshot:
    return load(home.config, {}, data_overrides(home))


async def reopened(snapshot: Snapshot) -> Store:
    return await open_store(snapshot.store_url, snapshot.folder, migrate=False)


async def month_use(store: Store, snapshot: Snapshot, tenant: str) -> int:
    now_us = SystemClock().now()
    zone = story(snapshot, snapshot.tenants[tenant], ("k",)).zone
    month = calendar_period(from_us(now_us), "month", zone)
    return await store.ledger.quota_sums(PLATFORM, tenant, "calls", to_us(month.start), now_us)


async def test_three_tenants_stand_where_the_card_says(home: DemoHome, snapshot: Snapshot) -> None:
    prepared = await prepare(home, snapshot, lambda _: None)
    assert {len(keys) > 0 for keys in prepared.keys.values()} == {True}
    store = await reopened(snapshot)
    limit = month_limit(snapshot, snapshot.tenants[NEARLY_FULL])
    assert limit is not None
    used = await month_use(store, snapshot, NEARLY_FULL)
    assert used * 100 // limit == 82
    assert await store.ledger.count_calls(Scope(PAYING)) > 10_000
    assert await month_use(store, snapshot, FREE) < 1000
    keys = await store.keys.list(PLATFORM, FREE)
    assert [key.hash for key in keys] == [one.key.hash for one in prepared.keys[FREE]]
    await store.close()


async def test_a_second_start_adds_nothing_but_links(home: DemoHome, snapshot: Snapshot) -> None:
    first = await prepare(home, snapshot, lambda _: None)
    store = await reopened(snapshot)
    posted = await store.ledger.posting_sequence(PLATFORM)
    await store.close()
    second = await prepare(home, snapshot, lambda _: None)
    store = await reopened(snapshot)
    assert await store.ledger.posting_sequence(PLATFORM) == posted
    assert second.keys == first.keys
    assert {first.portal_token, first.admin_token}.isdisjoint({second.portal_token, second.admin_token})
    await store.close()


async def test_an_interrupted_history_goes_on_where_it_stopped(
    home: DemoHome, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    post, batches = Ledger.post, 0

    async def failing(ledger: Ledger, incarnation: str, frames: Sequence[Frame]) -> int:
        nonlocal batches
        batches += 1
        if batches == 4:
            raise StoreUnavailable("the disk is full")
        return await post(ledger, incarnation, frames)

    with monkeypatch.context() as patched:
        patched.setattr(Ledger, "post", failing)
        with pytest.raises(StoreUnavailable):
            await prepare(home, snapshot, lambda _: None)
    await prepare(home, snapshot, lambda _: None)
    store = await reopened(snapshot)
    limit = month_limit(snapshot, snapshot.tenants[NEARLY_FULL])
    assert await month_use(store, snapshot, NEARLY_FULL) == -(-(limit or 0) * 82 // 100)
    assert len(await store.ledger.ids(PLATFORM)) == await store.ledger.count_calls(PLATFORM)
    await store.close()


async def test_days_later_the_days_between_are_added(home: DemoHome, snapshot: Snapshot) -> None:
    store = await open_store(snapshot.store_url, snapshot.folder)
    tenants = demo_tenants(snapshot)
    now_us = SystemClock().now()
    await store.tenants.sync_yaml(PLATFORM, tenants, (), now_us)
    stories = [story(snapshot, tenant, ("k",)) for tenant in tenants]
    first = await chapters.write_history(home, store, stories, now_us - 3 * DAY_US)
    assert await chapters.write_history(home, store, stories, now_us - 3 * DAY_US) == 0
    second = await chapters.write_history(home, store, stories, now_us)
    assert 0 < second < first
    noted = home.read(chapters.FILE)
    assert [one["done"] for one in noted] == [True, True]
    assert noted[1]["start_us"] == noted[0]["end_us"]
    assert await store.ledger.count_calls(PLATFORM) == len(await store.ledger.ids(PLATFORM))
    await store.close()


async def test_scale_makes_that_many_tenants(home: DemoHome) -> None:
    overrides = data_overrides(home) | tenant_overrides(97, ("free", "pro"))
    snapshot = load(home.config, {}, overrides)
    assert len(snapshot.tenants) == 100
    await prepare(home, snapshot, lambda _: None)
    store = await reopened(snapshot)
    assert await store.ledger.count_calls(Scope("customer-00097")) > 0
    await store.close()


def test_a_configuration_without_the_tenants_is_refused(tmp_path: Path, home: DemoHome) -> None:
    tenants = home.folder / "config" / "tenants.yaml"
    tenants.write_text("tenants: {acme: {name: Acme, plan: pro}}\n")
    with pytest.raises(GatewayError, match="initech"):
        demo_tenants(load(home.config, {}, data_overrides(home)))


def test_the_visitors_files_are_not_overwritten(home: DemoHome) -> None:
    plans = home.folder / "config" / "plans.yaml"
    plans.write_text(plans.read_text().replace("max: 10,", "max: 20,"))
    assert open_home().config == home.folder / "gateway.yaml"
    assert "max: 20," in plans.read_text()
