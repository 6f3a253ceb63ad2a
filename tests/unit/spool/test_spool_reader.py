"""Reading from deep inside a segment: frames that are passed over count neither as read nor as the end."""

from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.metering.ports import Position
from gateway.metering.record import CallRecord
from gateway.spool.reader import READ_BYTES, SpoolReader
from gateway.spool.segment import SEGMENT_SIZE
from gateway.spool.writer import SpoolWriter

RECORDS = 20_000


@pytest.fixture
def deep(new_writer: Callable[..., SpoolWriter], new_record: Callable[..., CallRecord], tmp_path: Path) -> SpoolReader:
    writer = new_writer(segment_size=SEGMENT_SIZE)
    record = new_record()
    for _ in range(RECORDS):
        writer.append(record)
    assert writer._appender.room < SEGMENT_SIZE * 2 - 2 * READ_BYTES, "the place wanted must lie beyond one read"
    return SpoolReader(tmp_path / "spool")


@pytest.mark.parametrize("start", [0, 1, RECORDS // 2, RECORDS - 20, RECORDS - 1, RECORDS])
def test_a_new_reader_starts_anywhere_in_a_segment(deep: SpoolReader, start: int) -> None:
    frames = deep.read(Position("a-0-x", start), 10)
    assert [frame.position.sequence for frame in frames] == list(range(start + 1, RECORDS + 1))[:10]


def test_the_tail_is_found_from_any_place(deep: SpoolReader, tmp_path: Path) -> None:
    tails = [SpoolReader(tmp_path / "spool").tail("a-0-x", start) for start in (0, RECORDS // 2, RECORDS)]
    assert [tail.sequence for tail in tails] == [RECORDS] * 3
    assert len({tail.offset for tail in tails}) == 1
