"""``kill -9`` of a worker under load: by sets of ids nothing is lost, nothing is twice, counters are the ledger."""

import asyncio
import http.client
import os
import re
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from support.process import KEY, GatewayProcess, configuration
from support.services import wait_until
from support.upstream import RecordingUpstream

from gateway.storage.ports import PLATFORM
from gateway.storage.store import open_store
from gateway.storage.values import CallFilter, CallRow

CLIENTS, KILLS = 16, 3
LIMIT = 1_000_000
DAILY = {"name": "daily", "meter": "calls", "max": LIMIT, "per": "day"}

StartGateway = Callable[[dict[str, Any]], GatewayProcess]


class Load:
    """Clients that call one after the other until told to stop. A broken connection is replaced, no call repeated."""

    def __init__(self, listen: str) -> None:
        self._listen = listen
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(CLIENTS)]
        self.delivered: set[str] = set()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)

    def _run(self, number: int) -> None:
        connection, calls = http.client.HTTPConnection(self._listen, timeout=20), 0
        while not self._stop.is_set():
            calls += 1
            request_id = f"client-{number}-call-{calls}"
            try:
                connection.request("GET", "/x", headers={"X-API-Key": KEY, "X-Request-Id": request_id})
                answer = connection.getresponse()
                answer.read()
            except (OSError, http.client.HTTPException):
                connection.close()
                time.sleep(0.01)
                continue
            if answer.status == 200:
                self.delivered.add(request_id)
        connection.close()


def _ledger(gateway: GatewayProcess) -> list[CallRow]:
    """Every row, from the store of a gateway that has stopped."""

    async def read() -> list[CallRow]:
        store = await open_store("sqlite:///data/gateway.db", gateway.folder, migrate=False)
        try:
            rows: list[CallRow] = []
            after: str | None = None
            while True:
                page = await store.ledger.calls(PLATFORM, CallFilter(), limit=500, after=after)
                rows += page.rows
                after = page.next
                if after is None:
                    return rows
        finally:
            await store.close()

    return asyncio.run(read())


def _used(gateway: GatewayProcess) -> int:
    """How many calls the counter holds, by the answer to one call more, which is not counted in."""
    connection = http.client.HTTPConnection(gateway.listen, timeout=20)
    connection.request("GET", "/probe", headers={"X-API-Key": KEY, "X-Request-Id": "probe"})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    remaining = re.search(r"r=(\d+)", answer.headers["RateLimit"])
    assert remaining is not None
    return LIMIT - int(remaining[1]) - 1


@pytest.mark.parametrize("workers", [1, 2])
def test_nothing_is_lost_and_nothing_is_twice(
    workers: int, upstream: RecordingUpstream, gateway_process: StartGateway
) -> None:
    gateway = gateway_process(configuration(upstream.url, limits=[DAILY], workers=workers))
    load = Load(gateway.listen)
    for _ in range(KILLS):
        before = len(load.delivered)
        wait_until(lambda before=before: len(load.delivered) > before + 200, "load through the gateway")
        alive = gateway.children("gateway.runtime.worker")
        os.kill(alive[0], signal.SIGKILL)
        wait_until(
            lambda dead=alive[0]: (
                dead not in (now := gateway.children("gateway.runtime.worker")) and len(now) == workers
            ),
            "the worker's restart",
        )
    before = len(load.delivered)
    wait_until(lambda: len(load.delivered) > before + 200, "load after the last restart")
    load.stop()
    used = _used(gateway)
    assert gateway.stop() == 0

    rows = _ledger(gateway)
    recorded = {row.request_id for row in rows}
    reached = set(upstream.request_ids)
    assert len(rows) == len({(row.id, row.part) for row in rows}) == len(recorded)
    assert load.delivered <= recorded
    assert reached <= recorded
    unreached = [row for row in rows if row.request_id not in reached]
    assert {row.outcome for row in unreached} <= {"interrupted", "connect_failed"}
    assert len([row for row in rows if row.outcome == "interrupted"]) <= CLIENTS * KILLS
    assert used == sum(row.quota_units.get("calls", 0) for row in rows if row.counted and row.request_id != "probe")
