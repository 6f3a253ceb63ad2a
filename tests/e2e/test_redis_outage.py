"""A Redis that stops, freezes or comes back empty under load: policy decides, no call waits longer than the deadline
and 50 ms on the worker's own clock, and afterwards the counters are the ledger's sums.
"""

import asyncio
import json
import os
import signal
from collections.abc import Callable
from typing import Any

import pytest
import redis
from support.load import Seen, answering, hammer, request, run
from support.process import KEY, GatewayProcess, configuration
from support.services import RedisServer, free_port, wait_until

from gateway.counters.redis_form import MARK_SIZE

StartGateway = Callable[[dict[str, Any]], GatewayProcess]
PROVING = os.environ.get("PROVE") == "1"
ALLOWED_US = 50_000 + 50_000  # the deadline, and what SEMANTICS §22 allows on top
OUTAGES = 4 if PROVING else 1
CLIENTS = 16
RECONNECTING_S = 0.7  # the longest pause between two attempts, and a little


async def freeze(server: RedisServer) -> None:
    assert server.process is not None
    server.process.send_signal(signal.SIGSTOP)
    await asyncio.sleep(1.2)
    server.process.send_signal(signal.SIGCONT)


async def stop(server: RedisServer) -> None:
    await asyncio.to_thread(server.stop)
    await asyncio.sleep(0.7)
    await asyncio.to_thread(server.start)


async def restart_empty(server: RedisServer) -> None:
    await asyncio.to_thread(server.stop)
    await asyncio.to_thread(server.start)


FATES = {"frozen": freeze, "stopped": stop, "restarted empty": restart_empty}


class Load:
    """The same call until told to stop."""

    def __init__(self) -> None:
        self._request = request(KEY)
        self.running = True

    def __iter__(self) -> "Load":
        return self

    def __next__(self) -> tuple[str, bytes]:
        if not self.running:
            raise StopIteration
        return "", self._request


def is_seeded(server: RedisServer) -> bool:
    """Whether the tenant's counters are rebuilt in the server's present life."""
    with redis.Redis.from_url(server.url) as client:
        epoch = client.info("server")["run_id"][:12]
        return int(client.strlen(f"gw:{{acme}}:{epoch}:m")) >= MARK_SIZE


def published(gateway: GatewayProcess) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in (gateway.folder / "data/run").glob("worker-*.json")]


@pytest.mark.parametrize("policy", ["open", "closed", "local"])
@pytest.mark.parametrize("fate", list(FATES))
def test_an_outage_during_load(fate: str, policy: str, gateway_process: StartGateway, own_redis: RedisServer) -> None:
    if not PROVING and (fate, policy) not in {("frozen", "closed"), ("stopped", "local"), ("restarted empty", "open")}:
        pytest.skip("a proof's")
    port = free_port()
    limits = [
        {"name": "daily", "max": 10**6, "per": "day", "on_store_error": policy},
        {"name": "burst", "max": 10**6, "per": "hour", "on_store_error": policy},
    ]
    document = configuration(f"http://127.0.0.1:{port}", limits=limits, workers=2)
    document["counters"] = {"url": own_redis.url}
    gateway = gateway_process(document)

    async def outages() -> tuple[Seen, int]:
        async with answering(port) as reached:
            load = Load()
            calls = asyncio.create_task(hammer([gateway.url], CLIENTS, load))
            for _ in range(OUTAGES):
                await asyncio.sleep(0.5)
                await FATES[fate](own_redis)
                await asyncio.to_thread(wait_until, lambda: is_seeded(own_redis), "seeding")
                await asyncio.sleep(RECONNECTING_S)
            load.running = False
            seen = await calls
            after = await hammer([gateway.url], 1, [("after", request(KEY))])
            assert after.by_status() == {200: 1}
            assert b"RateLimit: " in after.heads[200]  # the store's own decision
            seen.statuses.update(after.statuses)
            return seen, len(reached)

    seen, reached = run(outages)
    statuses = seen.by_status()
    assert reached == statuses[200]  # a refused call never reaches the upstream
    assert set(statuses) == ({200, 503} if policy == "closed" else {200})
    said: list[str] = []

    def agrees() -> bool:
        done = gateway.command("reconcile")
        said.append(done.stdout + done.stderr)
        return done.returncode == 0

    try:
        wait_until(agrees, "a difference of zero", 60)
    finally:
        print(said[-1])  # with a failure: which figures differ, or that Redis did not answer
    wait_until(lambda: sum(count_waits(worker) for worker in published(gateway)) == sum(statuses.values()), "figures")
    workers = published(gateway)
    longest_us = max(worker["longest_store_wait_us"] for worker in workers)
    passed = sum(worker["passed_by_policy"] for worker in workers)
    assert (passed > 0) == (policy != "closed")
    print(
        f"proof: {fate}, {policy}: {OUTAGES} outages, {sum(statuses.values()):,} calls, {passed:,} let pass, "
        f"{statuses.get(503, 0):,} refused; the longest wait for a decision {longest_us / 1000:.1f} ms; difference 0"
    )
    if PROVING:
        assert longest_us <= ALLOWED_US


def count_waits(worker: dict[str, Any]) -> int:
    return sum(worker["store_waits"][""]["counts"])
