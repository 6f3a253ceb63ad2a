"""Killing a gateway under load, and what must hold afterwards, by sets of request ids."""

import asyncio
import http.client
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterable
from typing import Any

from support.process import GATEWAY, KEY, GatewayProcess
from support.services import wait_until
from support.upstream import RecordingUpstream

from gateway.storage.ports import PLATFORM
from gateway.storage.store import open_store
from gateway.storage.values import CallFilter, CallRow

CLIENTS = 16
LIMIT = 1_000_000
DAILY = {"name": "daily", "meter": "calls", "max": LIMIT, "per": "day"}
SQLITE = "sqlite:///data/gateway.db"


class Load:
    """Clients that call one after the other until told to stop. A broken connection is replaced, no call repeated."""

    def __init__(self, listen: str, name: str = "client", clients: int = CLIENTS) -> None:
        self._listen = listen
        self._name = name
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(clients)]
        self.delivered: set[str] = set()
        self.refused: dict[int, int] = {}
        self.broken = 0
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Let every client finish its call."""
        self._stop.set()
        for thread in self._threads:
            thread.join(30)

    def wait_for(self, calls: int) -> None:
        """Until so many more calls were answered."""
        before = len(self.delivered)
        wait_until(lambda: len(self.delivered) >= before + calls, "load through the gateway")

    def __enter__(self) -> "Load":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _run(self, number: int) -> None:
        connection, calls = http.client.HTTPConnection(self._listen, timeout=20), 0
        while not self._stop.is_set():
            calls += 1
            request_id = f"{self._name}-{number}-call-{calls}"
            try:
                connection.request("GET", "/x", headers={"X-API-Key": KEY, "X-Request-Id": request_id})
                answer = connection.getresponse()
                answer.read()
            except (OSError, http.client.HTTPException):
                connection.close()
                self.broken += 1
                time.sleep(0.01)
                continue
            if answer.status == 200:
                self.delivered.add(request_id)
            else:
                self.refused[answer.status] = self.refused.get(answer.status, 0) + 1
        connection.close()


def kill(pids: Iterable[int]) -> None:
    """``kill -9``, all at once; who is gone already is gone."""
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def kill_child(gateway: GatewayProcess, name: str) -> None:
    """Kill one kind of child and wait until another runs in its place."""
    module = f"gateway.runtime.{name}"
    (victim, *_) = gateway.children(module)
    kill([victim])
    wait_until(lambda: any(pid != victim for pid in gateway.children(module)), f"another {name}")


def kill_everything(gateway: GatewayProcess) -> float:
    """Kill the supervisor and all children, start anew; returns the seconds to the first call that is answered."""
    assert gateway.process is not None
    kill([gateway.process.pid, *gateway.children()])
    gateway.process.wait()
    start = time.monotonic()
    with (gateway.folder / "serve.log").open("ab") as log:
        command = [*GATEWAY, "serve", "-c", str(gateway.config)]
        gateway.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=gateway.folder)
    wait_until(gateway.answers, "the first accept")
    return time.monotonic() - start


def read_ledger(gateway: GatewayProcess, url: str = SQLITE) -> list[CallRow]:
    """Every row, from the store of a gateway that has stopped."""

    async def read() -> list[CallRow]:
        store = await open_store(url, gateway.folder, migrate=False)
        try:
            rows: list[CallRow] = []
            after: str | None = None
            while True:
                page = await store.ledger.calls(PLATFORM, CallFilter(), limit=5_000, after=after)
                rows += page.rows
                after = page.next
                if after is None:
                    return rows
        finally:
            await store.close()

    return asyncio.run(read())


def counted_calls(gateway: GatewayProcess) -> int:
    """How many calls the counter holds, by the answer to one call more, which is not counted in."""
    connection = http.client.HTTPConnection(gateway.listen, timeout=20)
    connection.request("GET", "/probe", headers={"X-API-Key": KEY, "X-Request-Id": "probe"})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    remaining = re.search(r"r=(\d+)", answer.headers["RateLimit"])
    assert remaining is not None
    return LIMIT - int(remaining[1]) - 1


def check_books(rows: list[CallRow], load: Load, upstream: RecordingUpstream, used: int, kills: int) -> dict[str, Any]:
    """What the issue asks, by sets of ids; ``kills`` is how often a worker died. Returns the figures."""
    recorded = {row.request_id for row in rows}
    reached = set(upstream.request_ids)
    assert len(rows) == len({(row.id, row.part) for row in rows}) == len(recorded)
    assert load.delivered <= recorded
    assert reached <= recorded
    unreached = [row for row in rows if row.request_id not in reached]
    assert {row.outcome for row in unreached} <= {"interrupted", "connect_failed"}
    interrupted = sum(row.outcome == "interrupted" for row in rows)
    assert interrupted <= CLIENTS * kills
    assert used == sum(row.quota_units.get("calls", 0) for row in rows if row.counted and row.request_id != "probe")
    return {"delivered": len(load.delivered), "recorded": len(rows), "interrupted": interrupted}
