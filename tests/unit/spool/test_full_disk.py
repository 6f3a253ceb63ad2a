"""A disk that takes no more: refused before, whole before the error, and going on after it (SEMANTICS §25)."""

import os
import resource
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.clock import ManualClock
from gateway.metering.ports import Position
from gateway.metering.record import CallRecord
from gateway.spool.appender import Appender
from gateway.spool.inflight import InflightTable
from gateway.spool.reader import SpoolReader
from gateway.spool.segment import HEADER_SIZE, MAX_FRAME
from gateway.spool.writer import SpoolWriter

HOST = bytes(16)
Record = Callable[..., CallRecord]


def in_child(work: Callable[[], None]) -> None:
    """File size limits cannot be taken back, so they are set in a process of their own."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@pytest.mark.parametrize("cut", [0, 1, 9, 15, 16, 17, 40, 100, 115])
def test_a_write_that_is_cut_short_is_written_over(tmp_path: Path, cut: int) -> None:
    folder = tmp_path / "a-0-x"
    folder.mkdir()

    def work() -> None:
        appender = Appender(folder, HOST, 1 << 16, preallocated=False)
        appender.append(b"a" * 100)
        limit = HEADER_SIZE + 120 + cut
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        for _ in range(2):
            with pytest.raises(OSError, match=r"(?i)short|large|part"):
                appender.append(b"b" * 100)
        assert appender.sequence == 1
        reader = SpoolReader(tmp_path)
        assert len(reader.read(Position("a-0-x", 0), 9)) == 1
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        assert appender.append(b"c" * 3) == 2
        assert appender.append(b"d" * 50) == 3
        frames = SpoolReader(tmp_path).read(Position("a-0-x", 0), 9)
        assert [frame.payload for frame in frames] == [b"a" * 100, b"ccc", b"d" * 50]
        assert [frame.payload for frame in reader.read(Position("a-0-x", 1), 9)] == [b"ccc", b"d" * 50]
        assert reader.take_damage() == []

    in_child(work)


def test_no_next_segment_refuses_first_and_recovers(tmp_path: Path, new_record: Record) -> None:
    size = HEADER_SIZE + 8 * MAX_FRAME

    def work() -> None:
        writer = SpoolWriter.create(
            tmp_path, "a-0-x", HOST, fsync="interval", max_size=1 << 30, segment_size=size, clock=ManualClock()
        )
        resource.setrlimit(resource.RLIMIT_FSIZE, (size - 1, resource.RLIM_INFINITY))
        refused: list[int] = []

        def fill() -> None:
            for _ in range(10_000):
                if not refused and not writer.has_room():
                    refused.append(writer.appended)
                writer.append(new_record("/" + "x" * 2000))

        with pytest.raises(OSError, match=r"(?i)large|space|short"):
            fill()
        # Admission ended while every call in flight still found its place.
        assert writer.appended - refused[0] >= 4 * MAX_FRAME // 2300 - 1
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        before = writer.appended
        assert writer.append(new_record()) == before + 1
        assert len(SpoolReader(tmp_path).read(Position("a-0-x", 0), 10_000, 1 << 30)) == before + 1

    in_child(work)


def test_nothing_is_left_of_what_could_not_be_made(tmp_path: Path) -> None:
    def work() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
        with pytest.raises(OSError, match="large"):
            InflightTable.create(tmp_path, "a-0-x", 0)
        assert list(tmp_path.iterdir()) == []

    in_child(work)


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Path:
    """A tmpfs of 256 KiB, where this process may mount one."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root on Linux")
    return tmp_path


def test_a_full_disk(tiny_disk: Path) -> None:
    """In a mount namespace of its own, so that the mount ends with it."""
    code = f"""
import sys
from pathlib import Path
from gateway.clock import ManualClock
from gateway.metering.ports import Position
from gateway.metering.record import CallRecord
from gateway.spool.reader import SpoolReader
from gateway.spool.writer import SpoolWriter
root = Path({str(tiny_disk)!r})
writer = SpoolWriter.create(root / "spool", "a-0-x", bytes(16), fsync="interval", max_size=1 << 30,
                            segment_size=1 << 16, clock=ManualClock())
record = CallRecord(id=bytes(16), at_us=1, route="r", method="GET", path="/" + "x" * 500)
admitted = 0
while writer.has_room():
    writer.append(record)
    admitted += 1
for _ in range(40):
    writer.append(record)
try:
    for _ in range(10_000):
        writer.append(record)
    sys.exit("the disk never filled")
except OSError:
    pass
frames = SpoolReader(root / "spool").read(Position("a-0-x", 0), 10_000, 1 << 30)
assert len(frames) == writer.appended >= admitted + 40, (len(frames), writer.appended, admitted)
(root / "ballast").unlink()
sequence = writer.append(record)
assert len(SpoolReader(root / "spool").read(Position("a-0-x", 0), 10_000, 1 << 30)) == sequence
"""
    script = (
        f"mount -t tmpfs -o size=384k tmpfs {tiny_disk} && head -c 100000 /dev/zero > {tiny_disk}/ballast"
        f' && exec "$0" -c "$1"'
    )
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, sys.executable, code], capture_output=True, text=True, check=False
    )
    if "unshare" in done.stderr or "mount:" in done.stderr:
        pytest.skip(f"no mount here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
