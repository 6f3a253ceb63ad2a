"""An entry of a counter file as plain figures, and the seeding of one."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from mmap import mmap

from gateway.counters import layout as at
from gateway.counters.layout import EntryFlag, Region
from gateway.counters.table import Table
from gateway.quotas import sliding
from gateway.quotas.counter import CounterRequest
from gateway.quotas.limit import Algorithm


@dataclass(frozen=True, slots=True)
class Entry:
    """One counter: ``used`` units (counted and reserved) in ``[start_us, end_us)``.

    A bucket's ``used`` is its level in units × window at ``start_us``; concurrency has no window. ``created_us`` is 0
    where the entry does not keep it.
    """

    key: bytes
    algorithm: Algorithm
    used: int
    start_us: int
    end_us: int
    created_us: int
    seeded: bool
    volatile: bool


def read_entry(source: mmap, region: Region, offset: int) -> Entry | None:
    """The entry at an offset; None if it is damaged."""
    key, own, number, flags, first, second, third, fourth, check = at.HEAD.unpack_from(source, offset)
    if own != offset or check != at.check_word(key, offset, number, (first, second, third, fourth)):
        return None
    algorithm = Algorithm(number)
    seeded, volatile = bool(flags & EntryFlag.SEEDED), bool(flags & EntryFlag.VOLATILE)
    created_us = 0 if volatile else fourth
    match algorithm:
        case Algorithm.CALENDAR:
            return Entry(key, algorithm, third, first, second, created_us, seeded, volatile)
        case Algorithm.SLIDING:
            window_us = at.CELL.unpack_from(source, offset + at.WINDOW_AT)[0]
            start_us = -(-(first - sliding.SUB_BUCKETS) * window_us // sliding.SUB_BUCKETS)
            end_us = sliding.leaves_at(window_us, first)
            return Entry(key, algorithm, second, start_us, end_us, created_us, seeded, volatile)
        case Algorithm.BUCKET:
            return Entry(key, algorithm, second << 62 | first, third, fourth, 0, seeded, volatile)
        case Algorithm.CONCURRENT:
            return Entry(key, algorithm, first, second, second, created_us, seeded, volatile)


def is_seeded(source: mmap, offset: int) -> bool:
    """Whether the ledger's sum is in the entry at an offset."""
    flags: int = at.HEAD.unpack_from(source, offset)[3]
    return bool(flags & EntryFlag.SEEDED)


def entries_of(source: mmap, table: Table) -> Iterator[Entry]:
    """Every entry of a file that is not damaged."""
    for region, offset in table.offsets():
        entry = read_entry(source, region, offset)
        if entry is not None:
            yield entry


def due(source: mmap, offset: int, request: CounterRequest, delta: int, call_us: int) -> int:
    """What a settlement of ``delta`` changes: a counter that was made after the call holds nothing of it.

    Its units are whole still to come if the ledger was added before they were known, else they are the ledger's.
    """
    counter = request.counter
    if counter.volatile or counter.algorithm not in (Algorithm.CALENDAR, Algorithm.SLIDING):
        return delta
    created_us: int = at.HEAD.unpack_from(source, offset)[7]
    if call_us >= created_us:
        return delta
    return delta + request.amount if is_seeded(source, offset) else 0


def seed_entry(target: mmap, table: Table, key: bytes, rows: Iterable[tuple[int, int]], *, again: bool = False) -> bool:
    """Add (``at_us``, units) rows to a tenant's calendar or sliding counter and mark it seeded, in one step.

    A counter that is seeded is left alone, unless ``again``. No figure becomes negative.
    """
    for algorithm in (Algorithm.CALENDAR, Algorithm.SLIDING):
        offset = table.find(key, algorithm, volatile=False)
        if offset is None:
            continue
        region = table.region_for(algorithm)
        _, _, number, flags, *words, _ = at.HEAD.unpack_from(target, offset)
        if number != algorithm or (flags & EntryFlag.SEEDED and not again):
            return False
        cells = list(at.CELL_ARRAY.unpack_from(target, offset + at.CELLS_AT)) if number == Algorithm.SLIDING else []
        window_us = at.CELL.unpack_from(target, offset + at.WINDOW_AT)[0] if cells else 0
        first, second, third, fourth = _with_rows(words, cells, window_us, rows)
        check = at.check_word(key, offset, number, (first, second, third, fourth))
        head = at.HEAD.pack(key, offset, number, flags | EntryFlag.SEEDED, first, second, third, fourth, check)
        body = head + (at.CELL_ARRAY.pack(*cells) if cells else b"")
        table.guard(region, offset)
        target[offset : offset + len(body)] = body
        table.commit()
        return True
    return False


def put_entry(target: mmap, table: Table, offset: int, used: int) -> None:
    """Set what a calendar counter has used, in one step; it needs no seeding then."""
    key, _, number, flags, first, second, _, fourth, _ = at.HEAD.unpack_from(target, offset)
    check = at.check_word(key, offset, number, (first, second, used, fourth))
    head = at.HEAD.pack(key, offset, number, flags | EntryFlag.SEEDED, first, second, used, fourth, check)
    table.guard(table.region_for(Algorithm.CALENDAR), offset)
    target[offset : offset + len(head)] = head
    table.commit()


def put_held(target: mmap, table: Table, region: Region, offset: int, key: bytes, used: int) -> bool:
    """Set what a concurrency counter holds, in one step; False when it holds that, or is not there any more."""
    entry = read_entry(target, region, offset)
    if entry is None or entry.key != key or entry.algorithm is not Algorithm.CONCURRENT or entry.used == used:
        return False
    _, _, number, flags, _, *words, _ = at.HEAD.unpack_from(target, offset)
    second, third, fourth = words
    check = at.check_word(key, offset, number, (used, second, third, fourth))
    table.guard(region, offset)
    head = at.HEAD.pack(key, offset, number, flags, used, second, third, fourth, check)
    target[offset : offset + len(head)] = head
    table.commit()
    return True


def _with_rows(
    words: list[int], cells: list[int], window_us: int, rows: Iterable[tuple[int, int]]
) -> tuple[int, int, int, int]:
    """The words with the rows that fall in their window; ``cells`` is changed in place."""
    first, second, third, fourth = words
    for at_us, units in rows:
        if not cells:
            third = max(0, third + units) if first <= at_us < second else third
            continue
        index = sliding.index_at(window_us, at_us)
        if not first - sliding.SUB_BUCKETS <= index <= first:
            continue
        held = third if index == first else cells[index % sliding.CELLS]
        change = max(units, -held)
        second += change
        if index == first:
            third += change
        else:
            cells[index % sliding.CELLS] += change
    return first, second, third, fourth
