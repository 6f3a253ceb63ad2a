"""The writer: what it appends comes back in order, over segments; limits, syncs and its end."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.metering.ports import Position
from gateway.metering.record import CallRecord, RefusalCount, decode
from gateway.spool.files import directory_lock
from gateway.spool.reader import SpoolReader
from gateway.spool.segment import MAX_PAYLOAD
from gateway.spool.writer import SpoolWriter

Make = Callable[..., SpoolWriter]
Record = Callable[..., CallRecord]


def test_records_come_back_in_order_over_many_segments(tmp_path: Path, new_writer: Make, new_record: Record) -> None:
    writer = new_writer()
    records = [new_record(f"/{number}") for number in range(1000)]
    assert [writer.append(record) for record in records] == list(range(1, 1001))
    reader = SpoolReader(tmp_path / "spool")
    assert reader.incarnations() == ["a-0-x"]
    frames, position = [], Position("a-0-x", 0)
    while got := reader.read(position, 64):
        frames += got
        position = got[-1].position
    assert [decode(frame.payload) for frame in frames] == records
    assert [frame.position.sequence for frame in frames] == list(range(1, 1001))
    assert reader.take_damage() == []
    assert len(list((tmp_path / "spool" / "a-0-x").glob("*.seg"))) > 3


def test_a_reader_follows_the_tail(tmp_path: Path, new_writer: Make, new_record: Record) -> None:
    writer, reader = new_writer(), SpoolReader(tmp_path / "spool")
    position = Position("a-0-x", 0)
    for _ in range(500):
        assert reader.read(position, 10) == []
        writer.append(new_record())
        position = reader.read(position, 10)[0].position
    assert position.sequence == 500


def test_a_reader_starts_anywhere(tmp_path: Path, new_writer: Make, new_record: Record) -> None:
    writer = new_writer()
    for _ in range(600):
        writer.append(new_record())
    for start in (0, 1, 299, 598, 599):
        frames = SpoolReader(tmp_path / "spool").read(Position("a-0-x", start), 1)
        assert frames[0].position.sequence == start + 1
    assert SpoolReader(tmp_path / "spool").read(Position("a-0-x", 600), 1) == []


def test_the_tally_counts_what_was_appended(new_writer: Make, new_record: Record) -> None:
    tally = [0]
    writer = new_writer(tally=tally)
    writer.append(new_record())
    writer.append(RefusalCount(minute_us=0, code="limit", status=429, count=3))
    assert tally == [2]
    assert writer.appended == 2


def test_an_oversized_record_loses_text_not_figures(tmp_path: Path, new_writer: Make, new_record: Record) -> None:
    writer = new_writer()
    record = new_record("/" + "ä" * 20_000, request_id="r" * 128)
    writer.append(record)
    payload = SpoolReader(tmp_path / "spool").read(Position("a-0-x", 0), 1)[0].payload
    kept = decode(payload)
    assert isinstance(kept, CallRecord)
    assert len(payload) <= MAX_PAYLOAD
    assert record.path.startswith(kept.path)
    assert (kept.id, kept.units, kept.request_id) == (record.id, record.units, record.request_id)


def test_room_ends_when_the_next_segment_may_not_be(new_writer: Make, new_record: Record) -> None:
    writer = new_writer(max_size=140_000)
    admitted = 0
    while writer.has_room():
        writer.append(new_record("/" + "x" * 4000))
        admitted += 1
    assert 0 < admitted < 40
    # What was set aside takes the records of the calls that were admitted before.
    writer.append(new_record("/" + "x" * 8000))


async def test_calls_that_wait_together_share_a_sync(new_writer: Make, new_record: Record) -> None:
    writer = new_writer(fsync="always")
    sequences = [writer.append(new_record()) for _ in range(300)]
    await asyncio.gather(*(writer.wait_synced(sequence) for sequence in sequences))
    assert writer.synced == 300


async def test_interval_does_not_wait(new_writer: Make, new_record: Record) -> None:
    writer = new_writer()
    await writer.wait_synced(writer.append(new_record()))
    writer.sync()
    assert writer.synced == 1


def test_an_incarnation_is_locked_while_it_is_written(tmp_path: Path, new_writer: Make) -> None:
    writer = new_writer("b-0-y")
    with directory_lock(tmp_path / "spool" / writer.incarnation) as held:
        assert not held
    with pytest.raises(FileExistsError):
        new_writer("b-0-y")


def test_the_end_gives_back_what_was_not_used(tmp_path: Path, new_record: Record, new_writer: Make) -> None:
    writer = new_writer("c-0-z", segment_size=1 << 20)
    writer.append(new_record())
    folder = tmp_path / "spool" / "c-0-z"
    assert (folder / "next.tmp").exists()
    assert (folder / "00000001.seg").stat().st_size == 1 << 20
    writer.close()
    assert [path.name for path in folder.iterdir()] == ["00000001.seg"]
    assert (folder / "00000001.seg").stat().st_size < 1000
    assert len(SpoolReader(tmp_path / "spool").read(Position("c-0-z", 0), 9)) == 1
