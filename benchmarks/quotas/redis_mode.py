"""CPU of a worker per call with counters in the memory-mapped file and in Redis, at 64 connections, interleaved.

    .venv/bin/python benchmarks/quotas/redis_mode.py [--rounds N] [--seconds S] [--limits 0,1,3,8] [--most 1.4]

Starts a redis-server, an upstream and one ``gateway serve`` a store, all on free ports of this machine. The CPU is that
of the worker process (utime + stime from /proc) over the calls of a round; the medians of the rounds are printed. The
deadline is 5 s, so that a Redis that gets no turn on a busy machine makes no call cheaper: one that was let pass
without an answer ends the run. With ``--most`` it ends with 1 when Redis costs more than so many times the file.
"""

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from support.process import KEY, GatewayProcess, configuration  # noqa: E402
from support.services import running_redis  # noqa: E402

from gateway.runtime.publish import read_json  # noqa: E402

PLENTY = 10**12
LIMITS = [
    {"name": "burst", "max": PLENTY, "per": "minute", "by": "key"},
    {"name": "monthly", "max": PLENTY, "per": "month"},
    {"name": "daily", "max": PLENTY, "per": "day", "by": "key"},
    {"name": "parallel", "concurrent": 10**6, "by": "key"},
    {"name": "rate", "max": 10**9, "per": "second", "algorithm": "bucket"},
    {"name": "hourly", "max": PLENTY, "per": "hour"},
    {"name": "route", "max": PLENTY, "per": "day", "by": "route"},
    {"name": "yearly", "max": PLENTY, "per": "year"},
]
REQUEST = f"GET /x HTTP/1.1\r\nHost: a\r\nX-API-Key: {KEY}\r\n\r\n".encode()
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
TICK = os.sysconf("SC_CLK_TCK")


class Answering(asyncio.Protocol):
    """An upstream that answers every head with the same bytes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(ANSWER * data.count(b"\r\n\r\n"))  # type: ignore[attr-defined]


async def load(port: int, connections: int, seconds: float) -> int:
    """How many calls were answered with 200."""
    done, end = 0, asyncio.get_running_loop().time() + seconds

    async def client() -> None:
        nonlocal done
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while asyncio.get_running_loop().time() < end:
            writer.write(REQUEST)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200"), head
            await reader.readexactly(2)
            done += 1
        writer.close()

    await asyncio.gather(*(client() for _ in range(connections)))
    return done


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


async def measure(gateways: dict[str, GatewayProcess], rounds: int, seconds: float) -> dict[str, float]:
    """Median microseconds of the worker's CPU per call, by store."""
    costs: dict[str, list[float]] = {name: [] for name in gateways}
    for number in range(rounds + 1):
        for name, gateway in gateways.items():
            [pid] = gateway.children("gateway.runtime.worker")
            before = cpu_seconds(pid)
            calls = await load(int(gateway.listen.rpartition(":")[2]), 64, seconds)
            if number:  # the first round warms up
                costs[name].append((cpu_seconds(pid) - before) / calls * 1e6)
    return {name: statistics.median(found) for name, found in costs.items()}


async def compare(count: int, rounds: int, seconds: float, redis_url: str, folder: Path) -> float:
    """Print both stores' costs with that many limits; returns their ratio."""
    server = await asyncio.get_running_loop().create_server(Answering, "127.0.0.1", 0)
    upstream = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    gateways = {}
    try:
        for name, url in (("mmap", "mmap:///data/counters"), ("redis", redis_url)):
            home = folder / f"{name}-{count}"
            home.mkdir()
            gateway = gateways[name] = GatewayProcess(
                home,
                configuration(upstream, limits=[one | {"on_store_error": "open"} for one in LIMITS[:count]])
                | {"counters": {"url": url, "deadline": "5s"}},  # so that every call pays for its answer
            )
            await asyncio.to_thread(gateway.start)
        found = await measure(gateways, rounds, seconds)
        passed = read_json(gateways["redis"].folder / "data/run/worker-0.json").get("passed_by_policy")
        assert passed == 0, f"{passed} calls were not answered"
        ratio = found["redis"] / found["mmap"]
        print(
            f"proof: a whole call with {count} limits, 64 connections: the worker's CPU is {found['mmap']:.1f} µs with "
            f"the file, {found['redis']:.1f} µs with Redis, {ratio:.2f} times; none unanswered",
            flush=True,
        )
        return ratio
    finally:
        for gateway in gateways.values():
            gateway.stop()
        server.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--limits", default="0,1,3,8")
    parser.add_argument("--most", type=float, help="how many times the file's cost that of Redis may be")
    given = parser.parse_args()
    with running_redis() as redis, tempfile.TemporaryDirectory(prefix="redis-mode-") as folder:
        ratios = [
            asyncio.run(compare(count, given.rounds, given.seconds, redis.url, Path(folder)))
            for count in map(int, given.limits.split(","))
        ]
    if given.most and max(ratios) > given.most:
        raise SystemExit(f"{max(ratios):.2f} times; at most {given.most} are allowed")


if __name__ == "__main__":
    main()
