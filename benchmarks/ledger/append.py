"""What a call's bookkeeping costs: CPU per spool append, per in-flight mark, per frame read back; and group commits.

    python -m benchmarks.ledger.append [calls]

One process, CPU time of the whole process (its upkeep thread included), median of five rounds. Beside each: the bare
system call or copy that the operation cannot do without.
"""

import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from gateway.clock import SystemClock
from gateway.ids import uuid7
from gateway.metering.ports import Position
from gateway.metering.record import CallRecord, encode
from gateway.spool.identity import new_incarnation, read_host_id
from gateway.spool.inflight import InflightTable
from gateway.spool.reader import SpoolReader
from gateway.spool.writer import SpoolWriter

ROUNDS = 5
RESERVATION = bytes(240)  # three limits


def measure(name: str, work: Callable[[], object], calls: int) -> None:
    """Print the median CPU microseconds of one call of ``work``."""
    rounds = []
    for _ in range(ROUNDS):
        begun = time.process_time()
        for _ in range(calls):
            work()
        rounds.append((time.process_time() - begun) / calls * 1e6)
    print(f"{name:<44}{statistics.median(rounds):8.2f} µs")


def main(calls: int) -> None:
    clock = SystemClock()
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        host = read_host_id(root)
        (root / "inflight").mkdir()
        incarnation = new_incarnation(host, 0, clock.now())
        table = InflightTable.create(root / "inflight", incarnation, 0)
        writer = SpoolWriter.create(
            root / "spool", incarnation, host, fsync="interval", max_size=10**10, clock=clock, tally=table.tally
        )
        record = CallRecord(
            id=uuid7(clock.now()), at_us=clock.now(), tenant="acme", key="k1", route="weather", upstream="weather",
            target="http://127.0.0.1:9001", method="GET", path="/weather?city=berlin", status=200, upstream_status=200,
            outcome="ok", response_bytes=512, units={"calls": 1}, quota_units={"calls": 1}, counted=True, billable=True,
            plan="pro",
        )  # fmt: skip
        payload = encode(record)
        print(f"{len(payload)} bytes a record, {calls} calls a round")
        bare = os.open(root / "bare", os.O_RDWR | os.O_CREAT)
        os.posix_fallocate(bare, 0, 1 << 20)
        measure("pack", lambda: encode(record), calls)
        measure("bare pwrite of as much", lambda: os.pwrite(bare, payload, 4096), calls)
        measure("spool append, packing included", lambda: writer.append(record), calls)
        measure("has_room", writer.has_room, calls)
        slot = table.open(record.id, record, RESERVATION)
        measure("in-flight: open + close", lambda: table.close(table.open(record.id, record, RESERVATION)), calls)
        measure("in-flight: reserved", lambda: table.reserved(slot, 1), calls)
        measure("in-flight: sent", lambda: table.sent(slot), calls)
        measure("in-flight: checkpoint", lambda: table.checkpoint(slot, record), calls)
        measure("in-flight: settled", lambda: table.settled(slot), calls)
        table.close(slot)
        read_back(root / "spool", incarnation)
        writer.close()
        table.remove()
        asyncio.run(group_commit(root / "durable", record, clock))


def read_back(directory: Path, incarnation: str) -> None:
    reader, position, frames = SpoolReader(directory), Position(incarnation, 0), 0
    begun = time.process_time()
    while run := reader.read(position, 5000):
        frames += len(run)
        position = run[-1].position
    print(f"{f'read back, {frames} frames':<44}{(time.process_time() - begun) / frames * 1e6:8.2f} µs")
    reader.close()


async def group_commit(directory: Path, record: CallRecord, clock: SystemClock) -> None:
    """``fsync: always`` with 64 calls at a time, in wall time: what it costs depends on the disk."""
    writer = SpoolWriter.create(directory, "b-0-x", bytes(16), fsync="always", max_size=10**9, clock=clock)
    begun, calls = time.perf_counter(), 0
    while time.perf_counter() - begun < 1:
        await asyncio.gather(*(writer.wait_synced(writer.append(record)) for _ in range(64)))
        calls += 64
    print(f"{'fsync: always, 64 at a time':<44}{calls / (time.perf_counter() - begun):8.0f} /s")
    writer.close()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)
