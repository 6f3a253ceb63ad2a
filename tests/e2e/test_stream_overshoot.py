"""Units known at the end of 64 streams at once: a limit is exceeded by no more than Σ(actual − estimate) of the calls
in flight, on either store, and what is counted in the end is what the ledger has (SEMANTICS §9).
"""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from support.load import request as call_of
from support.load import run
from support.process import KEY, GatewayProcess, configuration
from support.services import free_port, wait_until

StartGateway = Callable[[dict[str, Any]], GatewayProcess]
STREAMS, ESTIMATE, ACTUAL, MAXIMUM = 64, 10, 50, 505
ADMITTED = MAXIMUM // ESTIMATE
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


async def stream(url_port: int) -> tuple[int, Callable[[], Any]]:
    """The status of one call, and how to read it to its end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", url_port)
    writer.write(call_of(KEY))
    head = await reader.readuntil(b"\r\n\r\n")

    async def finish() -> None:
        await reader.readuntil(b"0\r\n\r\n")
        writer.close()

    return int(head[9:12]), finish


@pytest.mark.parametrize("store", ["mmap", "redis"])
def test_overshoot_is_what_was_in_flight(
    store: str, gateway_process: StartGateway, request: pytest.FixtureRequest
) -> None:
    port = free_port()
    limits = [
        {"name": "tokens", "meter": "tokens", "max": MAXIMUM, "per": "day"},
        {"name": "hours", "meter": "tokens", "max": MAXIMUM + 3, "per": "10h", "by": "key"},
    ]
    document = configuration(f"http://127.0.0.1:{port}", limits=limits, workers=2)
    document["routes"]["main"]["meters"] = {"tokens": {"sse": "usage.total_tokens", "estimate": ESTIMATE}}
    document["counters"] = {"deadline": "5s"}
    if store == "redis":
        document["counters"]["url"] = request.getfixturevalue("own_redis").url
    gateway = gateway_process(document)
    listen = int(gateway.listen.rpartition(":")[2])

    async def streams() -> tuple[list[int], int]:
        go_on = asyncio.Event()

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(HEAD + chunk(b'data: {"text": "a"}\n\n'))
            await go_on.wait()
            usage = b'data: {"usage": {"total_tokens": %d}}\n\n' % ACTUAL
            writer.write(chunk(usage) + chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n")

        server = await asyncio.start_server(answer, "127.0.0.1", port)
        begun = await asyncio.gather(*(stream(listen) for _ in range(STREAMS)))
        go_on.set()
        await asyncio.gather(*(finish() for status, finish in begun if status == 200))
        after, _ = await stream(listen)
        server.close()
        return [status for status, _ in begun], after

    statuses, after = run(streams)
    assert (statuses.count(200), statuses.count(429)) == (ADMITTED, STREAMS - ADMITTED)
    assert after == 429

    def used() -> int:
        rows = gateway.command_json("calls", "--tenant", "acme", "--limit", "100")
        return sum(row["units"]["tokens"] for row in rows)

    wait_until(lambda: used() == ADMITTED * ACTUAL, "all streams in the ledger")
    overshoot = ADMITTED * ACTUAL - MAXIMUM
    assert 0 < overshoot <= ADMITTED * (ACTUAL - ESTIMATE)
    wait_until(lambda: gateway.command("reconcile").returncode == 0, "a difference of zero")
    print(
        f"proof: {store}: {STREAMS} streams at once, {ADMITTED} passed; {overshoot} above the limit, "
        f"the stated bound is {ADMITTED * (ACTUAL - ESTIMATE)}"
    )
