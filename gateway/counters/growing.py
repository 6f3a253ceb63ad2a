"""The next generation of a counter file, filled while workers count in the present one.

Passes copy what changed since the pass before, without the lock; the last one holds it, when little is left to copy.
What is read without the lock may be half written: it has changed by the next pass, which copies it again.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway.counters import layout as at
from gateway.counters.layout import Capacity, Layout, Region
from gateway.counters.lock import FileLock
from gateway.counters.mapfile import CounterFile, Mapper, adopt, make_draft
from gateway.counters.table import Table, is_body_over
from gateway.errors import StoreUnavailable

FULL_PERCENT = 70
"""Beyond it a region gets more room: before it warns, and long before it refuses."""
LARGEST = 1 << 24
_BLOCK = 1 << 16
_PASSES, _FEW = 12, 64  # copying goes on without the lock until so few entries change meanwhile


@contextmanager
def one_at_a_time(directory: Path) -> Iterator[bool]:
    """Whether nobody else makes a new generation now; what one that died at it left is removed."""
    growing = FileLock(directory / "growing")
    try:
        growing.acquire(0)
    except StoreUnavailable:
        yield False
    else:
        for orphan in directory.glob("counters.*.new"):
            orphan.unlink()
        yield True
    finally:
        growing.close()


class Succession:
    """A generation in the making, filled without the lock; ``empty``, it begins with no entry at all.

    Raises ``StoreUnavailable``; nothing has changed then.
    """

    def __init__(
        self, old: CounterFile, directory: Path, layout: Layout, mapper: Mapper, *, empty: bool = False
    ) -> None:
        self._old = old
        self._empty = empty
        self._new = make_draft(directory, old.generation + 1, layout, old.reading(), mapper)
        self._table = Table(self._new)
        self._seen: dict[int, bytes] = {}
        try:
            for _ in range(_PASSES):
                if self._copy(old.reading()[2]) < _FEW:
                    break
        except StoreUnavailable:
            self.close()
            raise

    def take_over(self, at_us: int) -> None:
        """With the lock: copy the rest, and put the new generation in the old one's place."""
        old, new = self._old, self._new
        self._copy(at_us)
        new.map[at.JOURNAL_AT : at.ENTRIES_AT] = old.map[at.JOURNAL_AT : at.ENTRIES_AT]
        new.write_reading(old.reading())
        adopt(new)  # who dies here leaves two; the older is not superseded, and stays
        old.map[at.SUPERSEDED_AT : at.SUPERSEDED_AT + 8] = new.generation.to_bytes(8, "little")

    def close(self) -> None:
        """Let go of the mapping; a draft that did not take over is removed."""
        self._new.close()
        if self._new.path.suffix == ".new":
            self._new.path.unlink(missing_ok=True)

    def _copy(self, at_us: int) -> int:
        """One pass; returns how many entries had changed since the last."""
        if self._empty:
            return 0
        left: list[tuple[Region, bytes]] = []
        come: list[tuple[Region, bytes]] = []
        for region in self._old.layout.regions:
            step = _BLOCK // region.size * region.size
            for start in range(region.start, region.end, step):
                block = self._old.map[start : min(start + step, region.end)]
                before = self._seen.get(start)
                if block == before:
                    continue
                self._seen[start] = block
                if before is None and block.count(0) == len(block):
                    continue
                _compare(region, block, before, left, come)
        for region, body in left:  # first all that left their slots: some of it comes again in another
            self._table.drop(region, body)
        for region, body in come:
            self._table.put(region, body, at_us)
        return len(come)


def _compare(
    region: Region,
    block: bytes,
    before: bytes | None,
    left: list[tuple[Region, bytes]],
    come: list[tuple[Region, bytes]],
) -> None:
    for place in range(0, len(block), region.size):
        body = block[place : place + region.size]
        if before is not None:
            earlier = before[place : place + region.size]
            if body == earlier:
                continue
            if body[:16] != earlier[:16] != at.EMPTY_KEY:
                left.append((region, earlier))
        if body[:16] not in (at.EMPTY_KEY, at.DEAD_KEY):
            come.append((region, body))


def wanted(file: CounterFile, least: Capacity, at_us: int) -> Capacity | None:
    """The room that a file should have by what still counts in it; None while it is good as it is."""
    table, capacity = Table(file), file.layout.capacity
    full = any(
        table.occupied(region) * 100 >= region.capacity * FULL_PERCENT
        for region in (file.layout.small, file.layout.sliding)
    )
    if not full and all(have >= want for have, want in zip(_figures(capacity), _figures(least), strict=True)):
        return None
    small, sliding = (_alive(file, region, at_us) for region in (file.layout.small, file.layout.sliding))
    room = Capacity(
        _room(capacity.small, least.small, small),
        _room(capacity.sliding, least.sliding, sliding),
        max(capacity.address, least.address),
    )
    helps = small * 100 < room.small * FULL_PERCENT and sliding * 100 < room.sliding * FULL_PERCENT
    return room if helps or room != capacity else None


def _figures(capacity: Capacity) -> tuple[int, int, int]:
    return capacity.small, capacity.sliding, capacity.address


def _room(capacity: int, least: int, alive: int) -> int:
    """Twice what is in use, rounded up to a power of two: half full at most, up to the largest there is."""
    return min(LARGEST, max(capacity, least, 1 << (2 * alive - 1).bit_length()))


def _alive(file: CounterFile, region: Region, at_us: int) -> int:
    """How many entries of a region still count."""
    found = 0
    step = _BLOCK // region.size * region.size
    for start in range(region.start, region.end, step):
        block = file.map[start : min(start + step, region.end)]
        if block.count(0) == len(block):
            continue
        for place in range(0, len(block), region.size):
            body = block[place : place + region.size]
            if body[:16] not in (at.EMPTY_KEY, at.DEAD_KEY) and not is_body_over(body, at_us):
                found += 1
    return found
