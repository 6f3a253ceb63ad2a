"""Sixty-four clients at once against fifty calls a day: exactly fifty pass, whatever the number of workers."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from support.process import KEY, GatewayProcess, configuration
from support.services import wait_until
from support.upstream import RecordingUpstream

CLIENTS, CALLS_EACH, LIMIT = 64, 3, 50
DAILY = {"name": "daily", "meter": "calls", "max": LIMIT, "per": "day"}

StartGateway = Callable[[dict[str, Any]], GatewayProcess]


def not_over_midnight() -> None:
    """A day's window must not end in mid-test (UTC)."""
    left = 86_400 - time.time() % 86_400
    if left < 30:
        time.sleep(left + 1)


async def _statuses(url: str) -> list[int]:
    limits = httpx.Limits(max_connections=1)

    async def client() -> list[int]:
        async with httpx.AsyncClient(limits=limits, timeout=60) as session:
            return [(await session.get(f"{url}/x", headers={"X-API-Key": KEY})).status_code for _ in range(CALLS_EACH)]

    return [status for own in await asyncio.gather(*(client() for _ in range(CLIENTS))) for status in own]


@pytest.mark.parametrize("workers", [1, 2])
def test_exactly_the_limit_passes(workers: int, upstream: RecordingUpstream, gateway_process: StartGateway) -> None:
    not_over_midnight()
    gateway = gateway_process(configuration(upstream.url, limits=[DAILY], workers=workers))
    statuses = Counter(asyncio.run(_statuses(gateway.url)))
    assert statuses == {200: LIMIT, 429: CLIENTS * CALLS_EACH - LIMIT}
    assert len(upstream.received) == LIMIT
    assert gateway.command("calls", "--tenant", "acme", "--count").stdout.strip() == str(LIMIT)


def test_a_refusal_says_when_and_why(upstream: RecordingUpstream, gateway_process: StartGateway) -> None:
    not_over_midnight()
    gateway = gateway_process(configuration(upstream.url, limits=[DAILY | {"max": 1}]))
    passed, refused = (httpx.get(f"{gateway.url}/x", headers={"X-API-Key": KEY}) for _ in range(2))
    assert (passed.status_code, passed.headers["RateLimit-Policy"]) == (200, '"daily";q=1;w=86400')
    assert refused.status_code == 429
    assert 1 <= int(refused.headers["Retry-After"]) <= 86_400
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert refused.json()["violated-policies"] == ["daily"]


def test_a_changed_limit_applies_to_the_next_call(upstream: RecordingUpstream, gateway_process: StartGateway) -> None:
    not_over_midnight()
    gateway = gateway_process(configuration(upstream.url, limits=[DAILY | {"max": 1}]))
    headers = {"X-API-Key": KEY}
    assert [httpx.get(f"{gateway.url}/x", headers=headers).status_code for _ in range(2)] == [200, 429]
    gateway.document["plans"]["basic"]["limits"][0]["max"] = 3
    gateway.write()
    deadline = time.monotonic() + 10
    statuses: list[int] = []
    while statuses[-2:] != [200, 429] and time.monotonic() < deadline:
        statuses.append(httpx.get(f"{gateway.url}/x", headers=headers).status_code)
        time.sleep(0.02)
    # What was used before the change stays used: two more pass, not three (SEMANTICS 16).
    assert statuses.count(200) == 2


def test_a_limit_that_comes_back_has_the_calls_it_missed(
    upstream: RecordingUpstream, gateway_process: StartGateway
) -> None:
    not_over_midnight()
    limits = [DAILY | {"max": 9}]
    gateway = gateway_process(configuration(upstream.url, limits=limits))

    def answer() -> httpx.Response:
        return httpx.get(f"{gateway.url}/x", headers={"X-API-Key": KEY})

    def has_limits(limits: list[dict[str, object]]) -> None:
        gateway.document["plans"]["basic"]["limits"] = limits
        gateway.write()
        wait_until(lambda: ("RateLimit" in answer().headers) == bool(limits), "the new limits", 30)

    assert [answer().status_code for _ in range(3)] == [200] * 3
    has_limits([])  # at least one call passes without the limit
    wait_until(lambda: "limits that are gone" in gateway.log, "the counters to be taken away", 30)
    top = len(upstream.received) + 100  # calls go on passing until the limit is back
    has_limits([DAILY | {"max": top}])
    wait_until(lambda: gateway.command("reconcile").returncode == 0, "counters = ledger", 60)
    while answer().status_code == 200:
        pass
    assert len(upstream.received) == top

    has_limits([])  # and while the gateway is stopped
    gateway.stop()
    gateway.start()
    wait_until(lambda: gateway.log.count("limits that are gone") == 2, "the counters to be taken away", 30)
    assert answer().status_code == 200
    top = len(upstream.received) + 100
    has_limits([DAILY | {"max": top}])
    wait_until(lambda: gateway.command("reconcile").returncode == 0, "counters = ledger", 60)
    while answer().status_code == 200:
        pass
    assert len(upstream.received) == top
