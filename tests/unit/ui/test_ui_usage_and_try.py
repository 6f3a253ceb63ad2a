"""Usage by month, day, route and key; and the panel that tries a call."""

import pytest

from gateway.clock import DAY_US, HOUR_US

KEY = "gk_live_" + "a" * 30


async def page(world, path, status=200):
    answer = await world.client.get(path)
    assert answer.status == status
    return await answer.text()


async def test_a_month_by_route_and_key(world):
    await world.post_calls("acme", [HOUR_US * n for n in range(1, 8)])
    await world.post_calls("acme", [HOUR_US] * 3, route="messages", key="k2", units={"calls": 1, "tokens": 7})
    await world.post_calls("acme", [40 * DAY_US] * 5)
    await world.post_calls("globex", [HOUR_US] * 99)
    await world.enter("owner", "acme")
    text = await page(world, "/portal/usage")
    assert ">10</dd>" in text
    assert ">tokens</th>" in text
    assert ">3</dd>" not in text
    assert ">3</dd>" in await page(world, "/portal/usage?key=k2")
    assert ">7</dd>" in await page(world, "/portal/usage?route=weather")
    assert ">5</dd>" in await page(world, "/portal/usage?month=2026-10-01")
    assert "Billable tokens per day" in await page(world, "/portal/usage?meter=tokens")


@pytest.mark.parametrize("month", ["2020-01-01", "2026-11-02", "x", "2026-12-01"])
async def test_months_outside_the_history_are_not_there(world, month):
    await world.enter("owner", "acme")
    await page(world, f"/portal/usage?month={month}", 404)


@pytest.mark.parametrize("query", ["key=" + "x" * 300, "meter=%0a"])
async def test_odd_choices_are_refused(world, query):
    await world.enter("owner", "acme")
    await page(world, f"/portal/usage?{query}", 400)


async def test_choices_are_text(world):
    await world.enter("owner", "acme")
    assert "<script>x" not in await page(world, "/portal/usage?key=<script>x&meter=<script>x")


async def attempt(world, **fields):
    data = {"csrf": await world.csrf("/portal/try"), "method": "GET", "path": "/weather", "key": KEY} | fields
    return await world.client.post("/portal/try", data=data)


async def test_a_call_is_tried_and_its_key_forgotten(world):
    await world.enter("member", "acme")
    answer = await attempt(world, method="POST", path="/weather?city=Oslo", body="{}")
    text = await answer.text()
    assert answer.status == 200
    assert "&#34;city&#34;: &#34;Oslo&#34;" in text
    assert KEY not in text
    (call,) = world.tried
    assert (call.method, call.target, call.key, call.body) == ("POST", "/weather?city=Oslo", KEY, b"{}")
    assert KEY not in repr(call)


@pytest.mark.parametrize(
    "fields",
    [
        {"path": "http://evil.example/"}, {"path": "weather"}, {"path": "/a b"}, {"path": "/a\r\nX: y"},
        {"path": "/#x"}, {"path": "/" + "x" * 3000}, {"method": "CONNECT"}, {"method": "GET\r\n"},
        {"key": "with space in it 123"}, {"key": "x" * 300}, {"key": "short"}, {"host": "evil.example"},
        {"body": "x" * 40_000}, {"body_type": "text/evil"},
    ],
)  # fmt: skip
async def test_odd_calls_are_not_made(world, fields):
    await world.enter("owner", "acme")
    answer = await attempt(world, **fields)
    assert answer.status == 400
    assert KEY not in await answer.text()
    assert world.tried == []


async def test_many_tries_wait(world):
    await world.enter("owner", "acme")
    statuses = [(await attempt(world)).status for _ in range(32)]
    assert statuses[:30] == [200] * 30
    assert statuses[-1] == 429
