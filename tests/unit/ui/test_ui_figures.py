"""The figures on the pages are those of the ledger, the counters and the rating."""

import re
from dataclasses import replace

import pytest

from gateway.clock import DAY_US, HOUR_US, MINUTE_US, SECOND_US
from gateway.errors import StoreUnavailable
from gateway.storage.ports import PLATFORM, Scope
from gateway.ui.limits import limit_bars
from gateway.ui.platform_reading import PlatformReader
from gateway.ui.services import LimitUse
from gateway.ui.tenant_reading import tenant_view


@pytest.fixture
async def acme(world):
    return await world.store.tenants.get(PLATFORM, "acme")


async def test_the_month_its_bill_and_its_keys(world, acme):
    await world.post_calls("acme", [n * HOUR_US for n in range(24)])
    await world.post_calls("acme", [HOUR_US] * 6, status=502, outcome="upstream_failed", billable=False, counted=False)
    await world.post_calls("acme", [25 * DAY_US])  # the month before
    view = await tenant_view(world.services, acme)
    assert (view.month_calls, view.month_failed) == (30, 6)
    assert str(view.bill.bill.total) == "49.24"
    assert [(line.quantity, str(line.amount)) for line in view.bill.bill.lines] == [("", "49.00"), ("24 calls", "0.24")]
    assert [key.state for key in view.keys] == ["active"]
    assert sum(p.good + p.bad for p in view.chart.points) == 31
    assert len(view.chart.points) == 30


async def test_the_overview_adds_up_over_tenants(world):
    await world.post_calls("acme", [n * MINUTE_US for n in range(10)])
    await world.post_calls("globex", [n * MINUTE_US for n in range(3)], status=503)
    await world.post_calls("", [MINUTE_US], key="")
    page = await PlatformReader(world.services).overview()
    assert (page.calls, page.failed, page.tenants) == (14, 3, 2)
    assert [(share.name, share.calls) for share in page.top] == [("acme", 10), ("globex", 3)]
    assert [(currency, str(amount)) for currency, amount in page.revenue] == [("USD", "49.10")]


async def test_limits_come_from_the_ledger_while_the_counters_are_away(world, acme):
    def away(tenant, keys):
        raise StoreUnavailable("counters")

    await world.post_calls("acme", [n * MINUTE_US for n in range(25)])
    await world.post_calls("acme", [n * MINUTE_US for n in range(25)], counted=False)
    await world.post_calls("acme", [25 * DAY_US])
    for reader in (None, away):
        bars, exact = await limit_bars(replace(world.services, limit_states=reader), acme, [])
        assert not exact
        assert [(bar.name, bar.used, bar.max) for bar in bars] == [("monthly", 25, 1000)]


async def test_the_portal_warns_from_80_percent_and_says_when_it_is_full(world):
    now = world.clock.now()
    world.limits.append(
        LimitUse("monthly", "calls", 82, 100, "per month", now + 10 * DAY_US, "hard", "tenant", now - 20 * DAY_US)
    )
    await world.enter("member", "acme")
    text = re.sub(r"<[^>]+>|\s+", " ", await (await world.client.get("/portal")).text())
    text = re.sub(" +", " ", text)
    assert "monthly is at 82 %; it resets in 10 d ." in text
    assert "At this pace it is full in 4 d ." in text
    world.limits[0] = replace(world.limits[0], used=100)
    text = await (await world.client.get("/portal")).text()
    assert "calls are refused with 429" in text


async def test_a_ledger_that_is_behind_is_said_and_is_not_no_usage(world):
    now = world.clock.now()
    await world.store.ledger.mark_host(PLATFORM, "h", now - 60 * SECOND_US, now)
    await world.enter("admin")
    assert "The figures are behind" in await (await world.client.get("/admin")).text()
    await world.store.ledger.mark_host(PLATFORM, "h", now - SECOND_US, now)
    world.clock.advance(3 * SECOND_US)
    assert "The figures are behind" not in await (await world.client.get("/admin")).text()


async def test_key_states(world, acme):
    from gateway.tenants.model import Key

    now = world.clock.now()
    for name, more in (("old", {"expires_us": now}), ("fresh", {"expires_us": now + 1}), ("gone", {"revoked_us": now})):
        key = Key(f"key_{name}", "acme", name.encode().ljust(32, b"!"), name, created_us=now, source="store", **more)
        await world.store.keys.create(Scope("acme"), key)
    view = await tenant_view(world.services, acme)
    assert {key.name: key.state for key in view.keys} == {
        "old": "expired",
        "fresh": "active",
        "gone": "revoked",
        "Acme Corp's server": "active",
    }


async def test_lists_go_on_from_page_to_page(world):
    await world.post_calls("acme", [n * SECOND_US for n in range(120)])
    await world.enter("admin")
    path, seen, pages = "/admin/tenants/acme/calls", 0, 0
    while path:
        text = await (await world.client.get(path)).text()
        seen, pages = seen + text.count('<td class="when">'), pages + 1
        following = re.search(r'rel="next" href="([^"]+)"', text)
        path = following[1] if following else ""
    assert (seen, pages) == (120, 3)


@pytest.mark.parametrize("name", ["gateway.css", "gateway.js", "mark.svg"])
async def test_static_files_are_kept_for_ever_under_their_hash(world, name):
    page = await (await world.client.get("/login")).text()
    url = re.search(rf"/static/{re.escape(name)}\?v=[0-9a-f]{{12}}", page)[0]
    response = await world.client.get(url)
    assert "immutable" in response.headers["Cache-Control"]
    assert (await world.client.get(f"/static/{name}?v=old")).headers["Cache-Control"] == "no-cache"
    again = await world.client.get(url, headers={"If-None-Match": response.headers["ETag"]})
    assert again.status == 304
    assert len(await response.read()) < (15_000 if name.endswith("js") else 24_000)
    assert (await world.client.get("/static/%2e%2e%2fgateway.yaml")).status == 404
