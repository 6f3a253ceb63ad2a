"""The in-flight table: what each mark leaves behind, and its limits."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from gateway.errors import GatewayError, StoreUnavailable
from gateway.ids import uuid7
from gateway.metering.record import CallRecord
from gateway.spool.dead_table import DeadSlot, DeadTable
from gateway.spool.identity import new_incarnation, read_host_id
from gateway.spool.inflight import InflightTable
from gateway.spool.table_format import State, TableHeader, unpack_table_header
from gateway.spool.tables import appended_counts, forget_counts, list_tables, oldest_open_us, read_table_header

NOW = 1_795_000_000_000_000
Record = Callable[..., CallRecord]


def found_in(table: InflightTable, folder: Path) -> list[DeadSlot]:
    """What a recovery would find if the worker died now."""
    table.detach()
    dead = DeadTable.take(folder / f"{table.incarnation}.table")
    assert dead is not None
    slots = dead.slots()
    dead.close()
    return slots


def test_every_mark_survives(tmp_path: Path, new_record: Record) -> None:
    table = InflightTable.create(tmp_path, "a-0-x", 0, slots=8)
    table.tally[0] = 41
    records = [new_record(f"/{number}") for number in range(6)]
    slots = [table.open(record.id, record, bytes([number]) * number * 50) for number, record in enumerate(records)]
    for slot in slots[1:]:
        table.reserved(slot, NOW + slot)
    for slot in slots[2:]:
        table.sent(slot)
    later = msgspec.structs.replace(records[3], part=0, at_us=NOW + 99, response_bytes=5)
    table.checkpoint(slots[3], records[0])
    table.checkpoint(slots[3], later)
    table.settled(slots[4])
    table.close(slots[5])
    found = found_in(table, tmp_path)
    assert [slot.call_id for slot in found] == [record.id for record in records[:5]]
    assert [slot.state for slot in found] == [State.OPEN, State.RESERVED, State.SENT, State.SENT, State.SETTLED]
    assert [slot.at_us for slot in found] == [0, NOW + 1, NOW + 2, NOW + 3, NOW + 4]
    assert [slot.reservation for slot in found] == [bytes([number]) * number * 50 for number in range(5)]
    assert [slot.record for slot in found] == [*records[:3], later, records[4]]
    assert [slot.checkpointed for slot in found] == [False, False, False, True, False]
    assert {slot.floor for slot in found} == {41}


def test_a_call_that_reserved_nothing_gives_nothing_back(tmp_path: Path, new_record: Record) -> None:
    table = InflightTable.create(tmp_path, "a-0-x", 0, slots=8)
    record = new_record()
    table.reserved(table.open(record.id, record, b"packed"), NOW, taken=False)
    assert found_in(table, tmp_path)[0].reservation == b""


def test_slots_run_out_and_come_back(tmp_path: Path, new_record: Record) -> None:
    table = InflightTable.create(tmp_path, "a-0-x", 0, slots=2)
    record = new_record()
    first, _ = table.open(record.id, record, b""), table.open(record.id, record, b"")
    with pytest.raises(StoreUnavailable) as refusal:
        table.open(record.id, record, b"")
    assert refusal.value.reason == "inflight_full"
    table.close(first)
    assert table.open(record.id, record, b"") == first
    assert table.open_slots == 2
    table.detach()


@pytest.mark.parametrize("held", [0, 100, 6592])
def test_long_texts_are_cut_to_fit_and_figures_are_not(tmp_path: Path, new_record: Record, held: int) -> None:
    table = InflightTable.create(tmp_path, "a-0-x", 0, slots=2)
    record = new_record("/" + "ü" * 9000, request_id="q" * 128)
    slot = table.open(record.id, record, bytes([7]) * held)
    table.sent(slot)
    table.checkpoint(slot, record)
    found = found_in(table, tmp_path)[0]
    assert found.record is not None
    assert record.path.startswith(found.record.path)
    assert found.record.units == record.units
    assert found.reservation == bytes([7]) * held


def test_what_cannot_fit_is_refused_and_takes_no_slot(tmp_path: Path, new_record: Record) -> None:
    table = InflightTable.create(tmp_path, "a-0-x", 0, slots=2)
    for record, reservation in (
        (new_record(), bytes(7000)),
        (new_record(units={f"meter{n}": n for n in range(2000)}), b""),
    ):
        with pytest.raises(StoreUnavailable) as refusal:
            table.open(record.id, record, reservation)
        assert refusal.value.reason == "inflight_oversized"
    assert table.open_slots == 0
    table.detach()


def test_the_oldest_call_holds_the_watermark(tmp_path: Path, new_record: Record) -> None:
    table = InflightTable.create(tmp_path, "a-0-x", 0, slots=8)
    assert table.oldest_open_us() is None
    assert oldest_open_us(tmp_path) is None
    ids = [uuid7(NOW + second * 1_000_000) for second in range(3)]
    slots = [table.open(call_id, new_record(id=call_id), b"") for call_id in ids]
    assert table.oldest_open_us() == oldest_open_us(tmp_path) == NOW
    table.checkpoint(slots[0], new_record(id=ids[0], at_us=NOW + 60_000_000))
    assert oldest_open_us(tmp_path) == NOW + 1_000_000
    for slot in slots[1:]:
        table.close(slot)
    assert table.oldest_open_us() == NOW + 60_000_000
    table.detach()


def test_a_live_table_is_locked_also_for_other_processes(tmp_path: Path) -> None:
    table = InflightTable.create(tmp_path, "a-0-x", 3, slots=8)
    path = list_tables(tmp_path)["a-0-x"]
    assert DeadTable.take(path) is None
    code = (
        "import pathlib, sys; from gateway.spool.dead_table import DeadTable;"
        "sys.exit(DeadTable.take(pathlib.Path(sys.argv[1])) is not None)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(path)], check=False).returncode == 0
    header, appended = read_table_header(path)
    assert header is not None
    assert (header.worker, appended) == (3, 0)
    table.detach()


def test_a_table_without_calls_leaves_its_count(tmp_path: Path, new_record: Record) -> None:
    table = InflightTable.create(tmp_path, "a-0-x", 0, slots=8)
    table.tally[0] = 7
    assert appended_counts(tmp_path) == {"a-0-x": 7}
    table.remove()
    assert list_tables(tmp_path) == {}
    (tmp_path / "b-0-x.done").write_bytes(b"\xff\xfe9")  # damaged: it tells nothing
    assert appended_counts(tmp_path) == {"a-0-x": 7}
    forget_counts(tmp_path, {"a-0-x"})
    assert appended_counts(tmp_path) == {}


def test_a_table_with_calls_stays_for_recovery(tmp_path: Path, new_record: Record) -> None:
    table = InflightTable.create(tmp_path, "a-0-x", 0, slots=8)
    record = new_record()
    table.open(record.id, record, b"")
    table.remove()
    assert list(list_tables(tmp_path)) == ["a-0-x"]


def test_damage_in_a_slot_is_found(tmp_path: Path, new_record: Record) -> None:
    table = InflightTable.create(tmp_path, "a-0-x", 0, slots=8)
    record = new_record()
    table.sent(table.open(record.id, record, b"r"))
    path = list_tables(tmp_path)["a-0-x"]
    content = bytearray(path.read_bytes())
    content[content.index(b"/weather")] ^= 1
    path.write_bytes(content)
    slot = found_in(table, tmp_path)[0]
    assert slot.record is None
    assert slot.call_id == record.id


def test_a_damaged_table_is_set_aside_and_a_newer_one_left(tmp_path: Path) -> None:
    (tmp_path / "bad.table").write_bytes(b"nonsense" * 1000)
    with pytest.raises(GatewayError, match="set aside"):
        DeadTable.take(tmp_path / "bad.table")
    assert [path.name for path in tmp_path.iterdir()] == ["bad.table.damaged"]
    newer = tmp_path / "new.table"
    newer.write_bytes(TableHeader(0, 8, 4096, "new", format=2).pack().ljust(100_000, b"\0"))
    with pytest.raises(GatewayError, match="newer"):
        DeadTable.take(newer)
    assert newer.exists()
    assert DeadTable.take(tmp_path / "gone.table") is None


def test_the_header_reads_back() -> None:
    header = TableHeader(5, 64, 4096, "abc-5-def")
    assert unpack_table_header(header.pack()) == header


def test_a_host_keeps_its_id(tmp_path: Path) -> None:
    host = read_host_id(tmp_path)
    assert len(host) == 16
    assert read_host_id(tmp_path) == host
    name = new_incarnation(host, 2, NOW)
    assert name.startswith(f"{host.hex()[:8]}-2-")
    assert name != new_incarnation(host, 2, NOW)
    (tmp_path / "host_id").write_bytes(b"short")
    with pytest.raises(ValueError, match="16 bytes"):
        read_host_id(tmp_path)
