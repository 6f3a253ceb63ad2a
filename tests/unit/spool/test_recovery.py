"""What recovery makes of each thing that a dead worker can leave. Its own death is in tests/property/spool."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gateway.errors import StoreUnavailable
from gateway.ids import uuid7
from gateway.metering.ports import Position
from gateway.metering.record import CallRecord, Flag, decode
from gateway.quotas.counter import Bounds, Counter, CounterRequest, Reservation
from gateway.quotas.limit import Algorithm, CalendarWindow, Limit
from gateway.quotas.packing import pack
from gateway.spool.inflight import InflightTable
from gateway.spool.reader import SpoolReader
from gateway.spool.recovery import RESERVE, RecoverableCounters, Recovered, recover_all, recover_table
from gateway.spool.tables import appended_counts
from gateway.spool.writer import SpoolWriter

NOW = 1_795_000_000_000_000
NAME = "a-0-x"
DAY = Limit("daily", "calls", 10, CalendarWindow("day"), Algorithm.CALENDAR)
AT_ONCE = Limit("parallel", "calls", 10, None, Algorithm.CONCURRENT)
REQUESTS = tuple(
    CounterRequest(Counter(name * 16, limit.algorithm, 10, 0, 0, Bounds(0, 1, 2), False, limit), 1)
    for name, limit in ((b"a", DAY), (b"b", AT_ONCE))
)
PACKED = pack(REQUESTS)

Record = Callable[..., CallRecord]


@dataclass
class Operation:
    call_id: bytes
    phase: int
    at_us: int


@dataclass
class Counters:
    """Counters that only remember what was asked of them."""

    last: Operation | None = None
    done: list[tuple[str, bytes, int, tuple[int, ...]]] = field(default_factory=list)
    forgotten: list[str] = field(default_factory=list)
    closed: bool = False
    by_call: bool = False

    def last_operation(self, incarnation: str) -> Operation | None:
        return self.last

    def settle_now(
        self, call_id: bytes, at_us: int, reservation: Reservation, actual: Sequence[int], *, incarnation: str
    ) -> None:
        if self.closed:
            raise StoreUnavailable("closed")
        self.done.append(("settle", call_id, at_us, tuple(actual)))

    def release_now(self, call_id: bytes, at_us: int, reservation: Reservation, *, incarnation: str) -> None:
        self.done.append(("release", call_id, at_us, ()))

    def forget(self, incarnation: str) -> None:
        self.forgotten.append(incarnation)


_: RecoverableCounters = Counters()


@dataclass
class Host:
    root: Path
    table: InflightTable
    writer: SpoolWriter

    def die(self) -> None:
        self.table.detach()
        self.writer.close()

    def recover(self, counters: Counters) -> Recovered:
        self.die()
        found = recover_all(self.root / "inflight", self.root / "spool", counters)
        assert len(found) == 1
        assert recover_all(self.root / "inflight", self.root / "spool", counters) == []
        return found[0]

    def records(self) -> list[CallRecord]:
        frames = SpoolReader(self.root / "spool").read(Position(NAME, 0), 1000)
        assert [frame.position.sequence for frame in frames] == list(range(1, len(frames) + 1))
        records = [decode(frame.payload) for frame in frames if frame.payload]
        return [record for record in records if isinstance(record, CallRecord)]


@pytest.fixture
def host(tmp_path: Path, new_writer: Callable[..., SpoolWriter]) -> Host:
    (tmp_path / "inflight").mkdir()
    table = InflightTable.create(tmp_path / "inflight", NAME, 0, slots=16)
    return Host(tmp_path, table, new_writer(NAME, tally=table.tally))


def test_a_call_that_was_sent_leaves_one_record(host: Host, new_record: Record) -> None:
    record = new_record(at_us=5)
    slot = host.table.open(record.id, record, PACKED)
    host.table.reserved(slot, NOW)
    host.table.sent(slot)
    counters = Counters()
    summary = host.recover(counters)
    assert (summary.calls, summary.interrupted, summary.released, summary.appended) == (1, 1, 1, 1)
    (left,) = host.records()
    assert (left.id, left.at_us, left.outcome) == (record.id, NOW, "interrupted")
    assert (left.units, left.quota_units) == ({"calls": 1}, {})
    assert not left.billable
    assert not left.counted
    assert left.flags & Flag.RECOVERED
    assert counters.done == [("release", record.id, NOW, ())]
    assert counters.forgotten == [NAME]
    assert appended_counts(host.root / "inflight") == {NAME: 1}


def test_a_recorded_call_is_settled_from_its_record(host: Host, new_record: Record) -> None:
    record = new_record(quota_units={"calls": 3})
    slot = host.table.open(record.id, record, PACKED)
    host.table.reserved(slot, NOW)
    host.table.sent(slot)
    host.writer.append(record)
    counters = Counters()
    assert host.recover(counters).recorded == 1
    assert counters.done == [("settle", record.id, NOW, (3, 0))]
    assert host.records() == [record]


def test_parts_were_counted_at_checkpoints_and_the_last_part_is_not_billed(host: Host, new_record: Record) -> None:
    call_id = uuid7(NOW)
    slot = host.table.open(call_id, new_record(id=call_id), PACKED)
    host.table.reserved(slot, NOW)
    host.table.sent(slot)
    for part in (1, 2):
        host.writer.append(new_record(id=call_id, part=part, outcome="open", quota_units={"calls": part}))
    host.table.checkpoint(slot, new_record(id=call_id, at_us=NOW, part_at_us=NOW + 60, units={}))
    counters = Counters()
    host.recover(counters)
    assert counters.done == [("release", call_id, NOW, ())]
    last = host.records()[-1]
    assert (last.part, last.outcome, last.at_us, last.part_at_us) == (0, "interrupted", NOW, NOW + 60)
    assert last.units == {}


def test_a_call_that_was_not_sent_leaves_nothing(host: Host, new_record: Record) -> None:
    reserved, opened, doubtful = new_record(), new_record(), new_record()
    host.table.reserved(host.table.open(reserved.id, reserved, PACKED), NOW)
    host.table.open(opened.id, opened, PACKED)
    host.table.open(doubtful.id, doubtful, PACKED)
    counters = Counters(Operation(doubtful.id, RESERVE, NOW + 7))
    assert host.recover(counters).calls == 3
    assert host.records() == []
    assert sorted(counters.done) == sorted([("release", reserved.id, NOW, ()), ("release", doubtful.id, NOW + 7, ())])


def test_what_the_journal_or_the_slot_calls_settled_is_left_alone(host: Host, new_record: Record) -> None:
    in_journal, marked = new_record(), new_record()
    for record in (in_journal, marked):
        slot = host.table.open(record.id, record, PACKED)
        host.table.reserved(slot, NOW)
        host.table.sent(slot)
        host.writer.append(record)
    host.table.settled(slot)
    counters = Counters(Operation(in_journal.id, RESERVE + 1, NOW))
    assert host.recover(counters).recorded == 2
    assert counters.done == []
    assert len(host.records()) == 2


def test_a_call_let_pass_without_the_store_gives_nothing_back(host: Host, new_record: Record) -> None:
    untaken, flagged = new_record(), new_record(flags=int(Flag.STORE_OPEN))
    for record in (untaken, flagged):
        slot = host.table.open(record.id, record, PACKED)
        host.table.reserved(slot, NOW, taken=record is flagged)
        host.table.sent(slot)
    host.writer.append(flagged)
    counters = Counters()
    host.recover(counters)
    assert counters.done == []
    assert len(host.records()) == 2


def test_a_damaged_slot_still_leaves_a_record(host: Host, new_record: Record) -> None:
    record = new_record()
    slot = host.table.open(record.id, record, PACKED)
    host.table.reserved(slot, NOW)
    host.table.sent(slot)
    path = host.root / "inflight" / f"{NAME}.table"
    content = bytearray(path.read_bytes())
    content[content.index(b"/weather")] ^= 1
    path.write_bytes(content)
    counters = Counters()
    assert host.recover(counters).damaged == 1
    assert [(left.id, left.at_us) for left in host.records()] == [(record.id, NOW)]
    assert counters.done == [("release", record.id, NOW, ())]


def test_a_torn_tail_is_written_over(host: Host, new_record: Record) -> None:
    whole, torn = new_record(), new_record("/torn")
    host.writer.append(whole)
    slot = host.table.open(torn.id, torn, PACKED)
    host.table.reserved(slot, NOW)
    host.table.sent(slot)
    host.writer.append(torn)
    host.table.tally[0] = 1  # the worker died inside the append
    host.die()
    segment = host.root / "spool" / NAME / "00000001.seg"
    content = segment.read_bytes()
    segment.write_bytes(content[:-20] + bytes(1000))
    (summary,) = recover_all(host.root / "inflight", host.root / "spool", Counters())
    assert summary.interrupted == 1
    assert [(left.id, left.outcome) for left in host.records()] == [(whole.id, "ok"), (torn.id, "interrupted")]


def test_a_record_lost_after_it_was_whole_leaves_a_gap(host: Host, new_record: Record) -> None:
    lost, sent = new_record(), new_record()
    host.writer.append(new_record())
    host.writer.append(lost)
    slot = host.table.open(sent.id, sent, PACKED)
    host.table.reserved(slot, NOW)
    host.table.sent(slot)
    host.die()
    segment = host.root / "spool" / NAME / "00000001.seg"
    content = bytearray(segment.read_bytes())
    content[-30] ^= 1
    segment.write_bytes(content)
    (summary,) = recover_all(host.root / "inflight", host.root / "spool", Counters())
    assert summary.appended == 3
    reader = SpoolReader(host.root / "spool")
    assert [bool(frame.payload) for frame in reader.read(Position(NAME, 0), 9)] == [True, False, True]
    assert [(damage.first, damage.last) for damage in reader.take_damage()] == [(2, 2)]


def test_only_the_dead_of_one_slot(host: Host, tmp_path: Path) -> None:
    other = InflightTable.create(tmp_path / "inflight", "a-1-y", 1, slots=4)
    other.detach()
    assert recover_all(tmp_path / "inflight", tmp_path / "spool", Counters(), worker=0) == []
    assert [found.worker for found in recover_all(tmp_path / "inflight", tmp_path / "spool", Counters())] == [1]
    host.die()


def test_a_table_waits_while_its_spool_is_held(host: Host) -> None:
    host.table.detach()
    path = host.root / "inflight" / f"{NAME}.table"
    assert recover_table(path, host.root / "spool", Counters()) is None
    assert path.exists()
    host.writer.close()
    assert recover_table(path, host.root / "spool", Counters()) is not None


def test_a_failing_store_leaves_the_table_for_later(host: Host, new_record: Record) -> None:
    record = new_record()
    slot = host.table.open(record.id, record, PACKED)
    host.table.reserved(slot, NOW)
    host.writer.append(record)
    host.die()
    counters = Counters(closed=True)
    assert recover_all(host.root / "inflight", host.root / "spool", counters) == []
    counters.closed = False
    (summary,) = recover_all(host.root / "inflight", host.root / "spool", counters)
    assert (summary.settled, host.records()) == (1, [record])


def test_a_worker_that_died_before_its_spool_was_made(tmp_path: Path, new_record: Record) -> None:
    (tmp_path / "inflight").mkdir()
    table = InflightTable.create(tmp_path / "inflight", NAME, 0, slots=4)
    record = new_record()
    table.sent(table.open(record.id, record, b""))
    table.detach()
    (summary,) = recover_all(tmp_path / "inflight", tmp_path / "spool", Counters())
    assert (summary.interrupted, summary.appended) == (1, 1)
