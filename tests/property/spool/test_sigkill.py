"""A writer at full speed, a reader at its tail, and ``kill -9`` at a random moment."""

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

from gateway.metering.ports import Position
from gateway.metering.record import CallRecord, decode
from gateway.spool.dead_spool import DeadSpool
from gateway.spool.reader import SpoolReader
from gateway.spool.tables import appended_counts

WRITER = """
import sys
from pathlib import Path
from gateway.clock import SystemClock
from gateway.metering.record import CallRecord
from gateway.spool.inflight import InflightTable
from gateway.spool.writer import SpoolWriter
root, size = Path(sys.argv[1]), int(sys.argv[2])
table = InflightTable.create(root / "inflight", "a-0-x", 0, slots=8)
writer = SpoolWriter.create(root / "spool", "a-0-x", bytes(16), fsync="interval", max_size=1 << 40,
                            segment_size=1 << 20, clock=SystemClock(), tally=table.tally)
number = 0
while True:
    number += 1
    record = CallRecord(id=number.to_bytes(16, "big"), at_us=number, route="r", method="GET",
                        path="x" * (number * 7919 % size))
    writer.append(record)
    if number == 1:
        print("begun", flush=True)
"""


def test_what_was_appended_is_read_after_a_kill(tmp_path: Path) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    for round_ in range(4):
        root = tmp_path / str(round_)
        (root / "inflight").mkdir(parents=True)
        stop_at = chance.randrange(1, 8_000)
        child = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(root), str(chance.choice([10, 200, 6000]))], stdout=subprocess.PIPE
        )
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == b"begun\n"
            reader, position = SpoolReader(root / "spool"), Position("a-0-x", 0)
            while position.sequence < stop_at:
                position = follow(reader, position)
        finally:
            os.kill(child.pid, signal.SIGKILL)
            child.wait()
            child.stdout.close()
        appended = appended_counts(root / "inflight")["a-0-x"]
        while (following := follow(reader, position)) != position:
            position = following
        # The death may fall between the append and its count, or into the append.
        assert appended <= position.sequence <= appended + 1
        assert reader.take_damage() == []
        dead = DeadSpool.take(root / "spool", "a-0-x", appended)
        assert dead is not None
        assert len(dead.records({(1).to_bytes(16, "big"), position.sequence.to_bytes(16, "big")}, 0)) == 2
        assert dead.seal(appended) == position.sequence
        dead.close()


def follow(reader: SpoolReader, position: Position) -> Position:
    frames = reader.read(position, 1000)
    for number, frame in enumerate(frames, position.sequence + 1):
        record = decode(frame.payload)
        assert isinstance(record, CallRecord)
        assert frame.position.sequence == record.at_us == number
    return frames[-1].position if frames else position
