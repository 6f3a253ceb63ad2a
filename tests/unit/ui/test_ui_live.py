"""Live pages: listeners wake when the ledger moves, share one poller, and stop cleanly."""

import asyncio
from contextlib import aclosing

import pytest

from gateway.errors import StoreUnavailable
from gateway.ui import live
from gateway.ui.keys import LIVE


class Sequence:
    """A posting sequence that the test moves; it counts how often it was read."""

    def __init__(self):
        self.value, self.reads, self.down = 0, 0, False

    async def __call__(self):
        self.reads += 1
        if self.down:
            raise StoreUnavailable("away")
        return self.value


@pytest.fixture
def sequence():
    return Sequence()


@pytest.fixture
async def hub(sequence, monkeypatch):
    monkeypatch.setattr(live, "PAUSE_SECONDS", 0)
    opened = live.LiveHub(sequence, poll_seconds=0.005)
    yield opened
    await opened.close()


async def follow(hub, seen, ping_seconds=5.0):
    async with aclosing(hub.events(ping_seconds)) as events:
        async for event in events:
            seen.append(event)


async def until(condition):
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.002)


async def test_all_listeners_hear_of_a_move_and_one_poller_serves_them(hub, sequence):
    seen = [[], [], []]
    tasks = [asyncio.create_task(follow(hub, heard)) for heard in seen]
    await until(lambda: hub.listeners == 3 and sequence.reads > 3)
    sequence.value = 7
    await until(lambda: seen == [[7], [7], [7]])
    assert sum(task.get_name() == "ui-live-poller" for task in asyncio.all_tasks()) == 1
    await hub.close()
    await asyncio.gather(*tasks)
    assert hub.listeners == 0


async def test_nobody_listening_means_nobody_polling(hub, sequence):
    task = asyncio.create_task(follow(hub, []))
    await until(lambda: sequence.reads > 2)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert hub.listeners == 0
    await asyncio.sleep(0)
    assert not any(task.get_name() == "ui-live-poller" for task in asyncio.all_tasks() if not task.done())


async def test_a_quiet_stream_is_pinged(hub):
    seen = []
    task = asyncio.create_task(follow(hub, seen, ping_seconds=0.01))
    await until(lambda: seen[:2] == [None, None])
    await hub.close()
    await task


async def test_it_survives_a_store_that_is_away(hub, sequence):
    seen = []
    task = asyncio.create_task(follow(hub, seen))
    await until(lambda: sequence.reads > 1)
    sequence.down = True
    reads = sequence.reads
    await until(lambda: sequence.reads > reads)
    sequence.down, sequence.value = False, 3
    await until(lambda: seen == [3])
    await hub.close()
    await task


async def test_a_call_is_announced_on_the_stream_and_the_fragment_shows_it(world):
    await world.enter("owner", "acme")
    stream = await world.client.get("/portal/live")
    assert stream.headers["Content-Type"].startswith("text/event-stream")
    assert await stream.content.readuntil(b"\n\n") == b"retry: 2000\n\n"
    await until(lambda: world.client.app[LIVE].listeners == 1)
    await world.post_calls("acme", [1_000_000], path="/just-called")
    async with asyncio.timeout(5):
        assert (await stream.content.readuntil(b"\n\n")).startswith(b"event: changed\ndata: ")
    fragment = await (await world.client.get("/portal?fragment=live")).text()
    assert "/just-called" in fragment
    assert "<html" not in fragment
    stream.close()


async def test_streams_end_at_shutdown(world):
    await world.enter("admin")
    stream = await world.client.get("/admin/live")
    await stream.content.readuntil(b"\n\n")
    await world.client.app[LIVE].close()
    async with asyncio.timeout(5):
        assert await stream.content.read() == b""
    assert (await world.client.get("/admin/live")).status == 503


async def test_a_stream_ends_with_its_session(world, monkeypatch):
    monkeypatch.setattr(live, "PING_SECONDS", 0.05)
    monkeypatch.setattr(live.LiveHub.events, "__defaults__", (0.05,))
    user = await world.enter("admin")
    stream = await world.client.get("/admin/live")
    await stream.content.readuntil(b"\n\n")
    await world.accounts.forget_password(user)
    async with asyncio.timeout(5):
        rest = await stream.content.read()
    assert rest.replace(b": ping\n\n", b"") == b""
