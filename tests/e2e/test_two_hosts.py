"""Two hosts, one Redis, one PostgreSQL: limits are exact across both, and each reconciles to zero."""

import os
from collections.abc import Callable
from itertools import repeat
from typing import Any

import pytest
from support.load import Seen, answering, hammer, request, run
from support.process import KEY, GatewayProcess, configuration
from support.services import RedisServer, free_port, wait_until

StartGateway = Callable[[dict[str, Any]], GatewayProcess]
LIMIT = 5_000 if os.environ.get("PROVE") == "1" else 400


@pytest.mark.timeout(400)
def test_limits_are_exact_across_hosts(
    gateway_process: StartGateway, own_redis: RedisServer, postgres_url: str
) -> None:
    port = free_port()
    limits = [
        {"name": "daily", "max": LIMIT, "per": "day"},
        {"name": "hours", "max": LIMIT + 1, "per": "10h", "by": "key"},
        {"name": "parallel", "concurrent": 1000},
    ]
    hosts = []
    for _ in range(2):
        document = configuration(f"http://127.0.0.1:{port}", limits=limits, workers=2)
        document["store"] = {"url": postgres_url}
        document["accounts"] = {"secret": "of-both-hosts-and-32-bytes-long-or-more"}
        document["counters"] = {"url": own_redis.url, "deadline": "5s"}
        hosts.append(gateway_process(document))

    async def load(calls: int) -> tuple[Seen, int]:
        async with answering(port) as reached:
            return await hammer([host.url for host in hosts], 64, repeat(("", request(KEY)), calls)), len(reached)

    seen, reached = run(lambda: load(LIMIT + 200))  # type: ignore[arg-type, return-value]
    assert seen.by_status() == {200: LIMIT, 429: 200}
    assert reached == LIMIT
    for host in hosts:
        wait_until(lambda host=host: host.command("reconcile").returncode == 0, "a difference of zero", 60)  # type: ignore[misc]
        assert host.command_json("calls", "--tenant", "acme", "--count") == LIMIT
    print(
        f"proof: two hosts of two workers, limit {LIMIT:,}: over-admission 0, under-admission 0, difference 0 on both"
    )
    hosts[0].stop()
    own_redis.stop()
    own_redis.start()  # in an empty Redis the other host's shipper rebuilds what both have counted

    async def refused() -> bool:
        seen = await hammer([hosts[1].url], 1, [("", request(KEY))])
        assert 200 not in seen.by_status()
        return 429 in seen.by_status()

    wait_until(lambda: run(refused), "the rebuilt limit", 30)  # type: ignore[arg-type]
