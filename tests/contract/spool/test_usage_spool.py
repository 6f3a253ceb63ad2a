"""What every ``UsageSpool`` does, whoever implements it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.clock import SystemClock
from gateway.ids import uuid7
from gateway.metering.ports import Position, UsageSpool
from gateway.metering.record import CallRecord, RefusalCount, SpoolEntry, decode
from gateway.spool.inflight import InflightTable
from gateway.spool.reader import SpoolReader
from gateway.spool.writer import SpoolWriter

NAME = "a-0-x"


@pytest.fixture(params=["interval", "always"])
def spool(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[UsageSpool]:
    table = InflightTable.create(tmp_path, NAME, 0, slots=8)
    writer = SpoolWriter.create(
        tmp_path / "spool", NAME, bytes(16), fsync=request.param, max_size=1 << 24, segment_size=1 << 16,
        clock=SystemClock(), tally=table.tally,
    )  # fmt: skip
    yield writer
    writer.close()
    table.detach()


def entries() -> list[SpoolEntry]:
    return [
        CallRecord(id=uuid7(1), at_us=1, route="r", method="GET", path="/"),
        CallRecord(id=uuid7(1), part=3, at_us=2, route="r", method="BREW", path="/ü?q=%2F", units={"a": 1, "b": 0}),
        RefusalCount(minute_us=60_000_000, code="limit", status=429, count=7),
    ]


def test_entries_are_numbered_from_one_and_read_back(spool: UsageSpool, tmp_path: Path) -> None:
    written = entries()
    assert [spool.append(entry) for entry in written] == [1, 2, 3]
    frames = SpoolReader(tmp_path / "spool").read(Position(NAME, 0), 10)
    assert [frame.position for frame in frames] == [Position(NAME, sequence) for sequence in (1, 2, 3)]
    assert [decode(frame.payload) for frame in frames] == written


def test_an_empty_spool_has_room(spool: UsageSpool) -> None:
    assert spool.has_room()


def test_what_is_appended_is_seen_at_once_by_every_reader(spool: UsageSpool, tmp_path: Path) -> None:
    readers = [SpoolReader(tmp_path / "spool") for _ in range(3)]
    for sequence in range(1, 300):
        spool.append(entries()[sequence % 3])
        for reader in readers:
            (frame,) = reader.read(Position(NAME, sequence - 1), 10)
            assert frame.position.sequence == sequence
