"""Deleting what the ledger has: never too early, never what a recovery may look for."""

from collections.abc import Callable
from pathlib import Path

from gateway.metering.ports import Position
from gateway.metering.record import CallRecord
from gateway.spool.reader import SpoolReader
from gateway.spool.segment import Header
from gateway.spool.writer import SpoolWriter

NOW = 1_795_000_000_000_000
KEEP = 3_600_000_000
Make = Callable[..., SpoolWriter]
Record = Callable[..., CallRecord]


def segments(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "spool").rglob("*.seg"))


def test_segments_go_when_acknowledged_for_long_enough(tmp_path: Path, new_writer: Make, new_record: Record) -> None:
    writer, reader = new_writer("a-0-x"), SpoolReader(tmp_path / "spool")
    for _ in range(1500):
        writer.append(new_record())
    there = segments(tmp_path)
    assert len(there) > 4
    reader.discard({}, 0, NOW)
    reader.discard({"a-0-x": 1}, 0, NOW)
    assert segments(tmp_path) == there
    assert reader.discard({"a-0-x": 1500}, KEEP, NOW) == 0
    # A new reader, as after the shipper's restart, remembers since when.
    reader = SpoolReader(tmp_path / "spool")
    assert reader.discard({"a-0-x": 1500}, KEEP, NOW + KEEP - 1) == 0
    assert reader.discard({"a-0-x": 1500}, KEEP, NOW + KEEP) == len(there) - 2
    assert segments(tmp_path) == there[-2:]
    writer.append(new_record())
    assert [frame.position.sequence for frame in reader.read(Position("a-0-x", 1500), 9)] == [1501]
    assert reader.take_damage() == []


def test_what_was_deleted_before_it_was_read_is_told(tmp_path: Path, new_writer: Make, new_record: Record) -> None:
    writer, reader = new_writer("a-0-x"), SpoolReader(tmp_path / "spool")
    for _ in range(1500):
        writer.append(new_record())
    reader.discard({"a-0-x": 1500}, 0, NOW)
    restored = SpoolReader(tmp_path / "spool")
    frames = restored.read(Position("a-0-x", 10), 5)
    assert [(frame.position.sequence, frame.payload) for frame in frames] == [(n, b"") for n in range(11, 16)]
    assert restored.take_damage()[0].reason == "missing"


def test_a_dead_incarnation_goes_whole(tmp_path: Path, new_writer: Make, new_record: Record) -> None:
    writer, reader = new_writer("a-0-x"), SpoolReader(tmp_path / "spool")
    writer.append(new_record())
    assert reader.discard({"a-0-x": 1}, 0, NOW) == 0
    writer.close()
    assert reader.discard({"a-0-x": 0}, 0, NOW) == 0
    assert reader.discard({"a-0-x": 1}, 0, NOW, unrecovered={"a-0-x"}) == 0
    assert reader.incarnations() == ["a-0-x"]
    assert reader.discard({"a-0-x": 1}, 0, NOW) == 1
    assert reader.incarnations() == []


def test_a_dead_incarnation_that_wrote_nothing_goes_at_once(tmp_path: Path, new_writer: Make) -> None:
    new_writer("a-0-x").close()
    reader = SpoolReader(tmp_path / "spool")
    reader.discard({}, KEEP, NOW)
    assert reader.incarnations() == []


def test_a_segment_of_a_newer_program_waits_for_the_upgrade(
    tmp_path: Path, new_writer: Make, new_record: Record
) -> None:
    writer = new_writer("a-0-x")
    writer.append(new_record())
    path = tmp_path / "spool" / "a-0-x" / "00000001.seg"
    content = path.read_bytes()
    path.write_bytes(Header(bytes(16), 1, format=2).pack() + content[64:])
    reader = SpoolReader(tmp_path / "spool")
    assert reader.read(Position("a-0-x", 0), 9) == []
    assert [damage.reason for damage in reader.take_damage()] == ["format"]
    writer.close()
    assert reader.discard({}, 0, NOW) == 0
    path.write_bytes(content)
    assert len(SpoolReader(tmp_path / "spool").read(Position("a-0-x", 0), 9)) == 1
