"""Events that were reported hold against limits: a call is refused by them within moments, on either store."""

import asyncio
import os
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from support.process import KEY, GatewayProcess, configuration
from support.services import wait_until
from support.upstream import RecordingUpstream

from gateway.clock import SystemClock
from gateway.storage.account_values import UsageEvent
from gateway.storage.ports import PLATFORM
from gateway.storage.store import open_store

StartGateway = Callable[[dict[str, Any]], GatewayProcess]


def report(gateway: GatewayProcess, meter: str, value: int) -> None:
    """One event, as the API posts it."""

    async def post() -> None:
        now = SystemClock().now()
        event = UsageEvent(os.urandom(16), "acme", meter, now, value, "", f"{meter}.used", "test", "1", "")
        store = await open_store("sqlite:///data/gateway.db", gateway.folder)
        await store.events.post(PLATFORM, [event], now)
        await store.close()

    asyncio.run(post())


def call(gateway: GatewayProcess, path: str = "/x") -> httpx.Response:
    return httpx.get(f"{gateway.url}{path}", headers={"X-API-Key": KEY})


@pytest.mark.parametrize("store", ["mmap", "redis"])
def test_calls_are_refused_by_what_was_reported(
    store: str, upstream: RecordingUpstream, gateway_process: StartGateway, request: pytest.FixtureRequest
) -> None:
    limits = [
        {"name": "calls", "max": 1000, "per": "day"},
        {"name": "seats", "meter": "seats", "max": 5, "per": "year"},
        {"name": "jobs", "meter": "jobs", "max": 10, "per": "year", "routes": ["jobs"]},
    ]
    document = configuration(upstream.url, limits=limits)
    document["routes"]["jobs"] = {"match": {"paths": ["/jobs"]}, "upstream": "main"}
    document["events"] = {
        "seats.used": {"meter": "seats", "aggregate": "latest", "value": "n"},
        "jobs.used": {"meter": "jobs", "aggregate": "sum", "value": "n"},
    }
    if store == "redis":
        document["counters"] = {"url": request.getfixturevalue("own_redis").url, "deadline": "2s"}
    gateway = gateway_process(document)
    assert call(gateway).status_code == 200
    report(gateway, "seats", 5)
    report(gateway, "jobs", 9)
    wait_until(lambda: '"jobs";r=1' in call(gateway, "/jobs").headers["RateLimit"], "nine jobs of ten")
    assert call(gateway).status_code == 200  # five of five
    report(gateway, "jobs", 1)
    wait_until(lambda: call(gateway, "/jobs").status_code == 429, "ten jobs of ten")
    assert call(gateway, "/jobs").json()["violated-policies"] == ["jobs"]
    assert call(gateway).status_code == 200
    report(gateway, "seats", 6)
    wait_until(lambda: call(gateway).status_code == 429, "six seats of five")
    answer = call(gateway, "/jobs")
    assert answer.json()["violated-policies"] == ["seats", "jobs"]
    assert int(answer.headers["Retry-After"]) > 60
    report(gateway, "seats", 4)
    wait_until(lambda: call(gateway).status_code == 200, "four seats")
    before = gateway.command_json("calls", "--tenant", "acme", "--count")
    assert '"calls";r=' in call(gateway).headers["RateLimit"]
    assert before >= 4
    wait_until(lambda: gateway.command("reconcile").returncode == 0, "a difference of zero", 60)
