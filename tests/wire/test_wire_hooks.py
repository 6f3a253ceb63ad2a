"""Plugins on a live gateway."""

from pathlib import Path

import pytest

from gateway.hooks import Phase, Refusal
from gateway.hooks.loader import load_plugins
from gateway.metering.record import Flag
from gateway.routing.route import Meter

PLUGINS = Path(__file__).parents[2] / "plugins"
GET = b"GET / HTTP/1.1\r\nHost: a\r\nX-API-Key: customer-key-0123456789\r\nX-Debug: 1\r\n\r\n"


async def test_the_shipped_plugins(gateway, upstream):
    load_plugins([PLUGINS / "response_units.py", PLUGINS / "header_rewrite.py"], gateway.registry)
    upstream.answer = b"HTTP/1.1 200 OK\r\nServer: x\r\nX-Units: tokens=5, other=1\r\nContent-Length: 0\r\n\r\n"
    gateway.route_options = {"meters": (Meter("calls", "constant", 1), Meter("tokens", "constant", 0))}
    await gateway.start()
    client = await gateway.client()
    await client.send(GET)
    head = await client.head()
    assert b"Server" not in head
    assert b"X-Units" not in head
    seen = bytes(upstream.seen[0])
    assert b"X-Debug" not in seen
    assert b"X-Gateway: metering\r\n" in seen
    [record] = await gateway.settled(1)
    assert record.units == {"calls": 1, "tokens": 5}


async def test_a_hook_may_refuse_and_a_broken_hook_is_500(gateway, upstream):
    def admit(event):
        if event.request.path == b"/boom":
            raise RuntimeError("broken plugin")
        return Refusal(403, "closed_today", "Come back tomorrow.") if event.request.path == b"/no" else None

    seen = []
    gateway.registry.add(Phase.ADMIT, "test", admit)
    gateway.registry.add(Phase.RECORD, "test", lambda event: seen.append(event.record.path))
    await gateway.start()
    client = await gateway.client()
    for path, status in ((b"/no", b"403"), (b"/boom", b"500"), (b"/yes", b"200")):
        await client.send(GET.replace(b" / ", b" " + path + b" "))
        head, _ = await client.answer()
        assert head.startswith(b"HTTP/1.1 " + status)
    await gateway.settled(1)
    assert seen == ["/yes"]


@pytest.mark.parametrize("figure", [2.5, "9", [1], -1, 1 << 70, RuntimeError("broken plugin")], ids=str)
async def test_a_measure_that_lies_or_breaks_costs_the_estimate_and_never_the_answer(gateway, upstream, figure):
    def measure(event):
        if isinstance(figure, Exception):
            raise figure
        return {"tokens": figure}

    gateway.registry.add(Phase.MEASURE, "test", measure)
    gateway.route_options = {
        "meters": (Meter("calls", "constant", 1), Meter("tokens", "header", path="x-tokens", estimate=7))
    }
    await gateway.start()
    client = await gateway.client()
    await client.send(GET)
    assert (await client.answer())[0].startswith(b"HTTP/1.1 200")
    [record] = await gateway.settled(1)
    assert record.units == {"calls": 1, "tokens": 7}
    assert record.flags & Flag.ESTIMATED
