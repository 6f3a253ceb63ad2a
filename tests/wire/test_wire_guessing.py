"""Guessing keys from one address is slow, and shuts out nobody who was served before (SEMANTICS 18)."""

from support.wire import KEY

from gateway.clock import SystemClock
from gateway.counters.mmap_store import MmapCounterStore
from gateway.proxy.guessing import GUESSES, Guessing

REQUEST = b"GET /x HTTP/1.1\r\nHost: a\r\nX-API-Key: %b\r\n\r\n"


async def test_an_address_that_guesses_waits_and_a_served_key_passes(gateway, tmp_path):
    await gateway.start()
    store = MmapCounterStore.open(tmp_path / "counters", SystemClock())
    gateway.server.services.guessing = Guessing(lambda: store, b"secret", SystemClock().now)
    served, guesser = await gateway.client(), await gateway.client()
    await served.send(REQUEST % KEY)
    assert (await served.answer())[0].startswith(b"HTTP/1.1 200")
    heads = []
    for number in range(GUESSES.burst + 5):
        await guesser.send(REQUEST % (b"no-such-key-at-all-%d" % number))
        heads.append((await guesser.answer())[0])
    assert all(head.startswith(b"HTTP/1.1 401") for head in heads[: GUESSES.burst])
    assert all(head.startswith(b"HTTP/1.1 429") for head in heads[-3:])
    assert all(b"\r\nRetry-After: " in head for head in heads[-3:])
    await served.send(REQUEST % KEY)
    assert (await served.answer())[0].startswith(b"HTTP/1.1 200")
    assert len(await gateway.settled(2)) == 2
    store.close()
