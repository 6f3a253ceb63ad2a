"""Finding and making entries in a counter file: a hash table per region, shared by every process of the host.

Tenants' regions probe by double hashing. A slot, once used, is never empty again, so searches may stop at an empty one;
an entry whose window is over is reused in place. The address region is made of sets of eight, each of which evicts
the entry that was touched longest ago. All methods need the lock.
"""

import logging
from collections.abc import Iterator
from typing import Final

from gateway.counters import layout as at
from gateway.counters.layout import EntryFlag, Region
from gateway.counters.mapfile import CounterFile
from gateway.errors import StoreUnavailable
from gateway.quotas import calendar, sliding
from gateway.quotas.counter import Counter
from gateway.quotas.limit import Algorithm

Words = tuple[int, int, int, int]

WAYS: Final = 8
MAX_PROBES: Final = 512
WARN_PERCENT: Final = 80

_logger = logging.getLogger(__name__)


class Table:
    """The entries of one generation."""

    def __init__(self, file: CounterFile) -> None:
        self._map = file.map
        self._layout = file.layout
        self._warned: set[str] = set()

    def find(self, key: bytes, algorithm: Algorithm, volatile: bool) -> int | None:
        """The offset of a counter's entry. One that fails its check is put out of use, and counts as not there."""
        region = self._layout.region_for(algorithm, volatile)
        for offset in self._probes(region, key):
            found = self._map[offset : offset + 16]
            if found == key:
                return offset if self._is_sound(region, offset) else None
            if found == at.EMPTY_KEY:
                return None
        return None

    def create(self, counter: Counter, at_us: int) -> int:
        """Make an entry that counts nothing yet; raises ``StoreUnavailable`` (``counters_full``).

        The entry is no part of what a call takes: a refused call may leave one behind, with nothing in it.
        """
        region = self._layout.region_for(counter.algorithm, counter.volatile)
        offset = self._free_slot(region, counter.key, at_us)
        if offset is None:
            raise StoreUnavailable(f"the {region.name} counters are full ({region.capacity})", "counters_full")
        was_empty = self._map[offset : offset + 16] == at.EMPTY_KEY
        if was_empty:  # an empty slot says where it belongs, so that the undo area can put it back
            self._map[offset + 16 : offset + 20] = offset.to_bytes(4, "little")
        self.guard(region, offset)
        self._map[offset : offset + region.size] = self._blank(counter, region, offset, at_us)
        self.commit()
        if was_empty:
            self._note_occupied(region)
        return offset

    def guard(self, region: Region, offset: int) -> None:
        """Begin a change of one whole entry: copy it to the undo area."""
        self._map[at.UNDO_JOURNAL_AT : at.UNDO_JOURNAL_AT + at.JOURNAL.size] = bytes(at.JOURNAL.size)
        self._map[at.UNDO_AT : at.UNDO_AT + region.size] = self._map[offset : offset + region.size]
        self._map[at.DIRTY_AT] = 1 | at.WHOLE

    def commit(self) -> None:
        """End the change: it happened."""
        self._map[at.DIRTY_AT] = 0

    def occupied(self, region: Region) -> int:
        """Slots of a region that have ever been used."""
        value: int = at.OCCUPIED.unpack_from(self._map, at.OCCUPIED_AT + 8 * region.index)[0]
        return value

    def region_for(self, algorithm: Algorithm) -> Region:
        """The region of a tenant's counters of one algorithm."""
        return self._layout.region_for(algorithm, volatile=False)

    def put(self, old: Region, body: bytes, at_us: int) -> None:
        """Write a copy of another generation's entry over its earlier copy, if there is one.

        Nobody else sees this table yet, so nothing is kept for undoing. Raises ``StoreUnavailable`` when it is full.
        """
        region = self._layout.regions[old.index]
        key, own, algorithm, flags, first, second, third, fourth, check = at.HEAD.unpack_from(body)
        words = (first, second, third, fourth)
        if check != at.check_word(key, own, algorithm, words):
            return  # half written, or damaged
        offset = self._held(region, key)
        if offset is None:
            if is_body_over(body, at_us):
                return
            offset = self._free_slot(region, key, at_us)
            if offset is None:
                raise StoreUnavailable(f"{region.capacity} {region.name} counters are too few", "counters_full")
            if self._map[offset : offset + 16] == at.EMPTY_KEY:
                self._note_occupied(region)
        check = at.check_word(key, offset, algorithm, words)
        self._map[offset : offset + region.size] = (
            at.HEAD.pack(key, offset, algorithm, flags, *words, check) + body[at.HEAD_SIZE :]
        )

    def drop(self, old: Region, body: bytes) -> None:
        """Take away the copy of an entry that is no longer where it was."""
        region = self._layout.regions[old.index]
        offset = self._held(region, body[:16])
        if offset is not None:
            self._map[offset : offset + 20] = at.DEAD_KEY + offset.to_bytes(4, "little")

    def take_away(self, region: Region, offset: int) -> None:
        """Put an entry out of use, in one step: its check, which calls look at, fails. Searches go on behind it."""
        self.guard(region, offset)
        head = at.DEAD_KEY + offset.to_bytes(4, "little")
        self._map[offset : offset + at.HEAD_SIZE] = head.ljust(at.HEAD_SIZE, b"\0")
        self.commit()

    def _held(self, region: Region, key: bytes) -> int | None:
        for offset in self._probes(region, key):
            found = self._map[offset : offset + 16]
            if found == key:
                return offset
            if found == at.EMPTY_KEY:
                return None
        return None

    def offsets(self) -> Iterator[tuple[Region, int]]:
        """Every slot in use, sound or not."""
        for region in self._layout.regions:
            for offset in range(region.start, region.end, region.size):
                if self._map[offset : offset + 16] not in (at.EMPTY_KEY, at.DEAD_KEY):
                    yield region, offset

    def _probes(self, region: Region, key: bytes) -> Iterator[int]:
        start, step = int.from_bytes(key[:8], "little"), int.from_bytes(key[8:], "little") | 1
        if region.name == "address":
            base = start % (region.capacity // WAYS) * WAYS
            yield from (region.offset(base + way) for way in range(WAYS))
            return
        mask = region.capacity - 1
        for probe in range(min(region.capacity, MAX_PROBES)):
            yield region.offset((start + probe * step) & mask)

    def _free_slot(self, region: Region, key: bytes, at_us: int) -> int | None:
        oldest: tuple[int, int] | None = None
        reusable: int | None = None
        for offset in self._probes(region, key):
            found = self._map[offset : offset + 16]
            if found == at.EMPTY_KEY:
                return offset if reusable is None else reusable
            if reusable is None and (found == at.DEAD_KEY or self.is_over(region, offset, at_us)):
                reusable = offset
            if region.name == "address":
                age = (self._touched(offset), offset)
                oldest = age if oldest is None else min(oldest, age)
        return oldest[1] if reusable is None and oldest else reusable

    def is_over(self, region: Region, offset: int, at_us: int) -> bool:
        """Whether an entry counts nothing any more, so that its slot may hold another."""
        return is_body_over(self._map[offset : offset + region.size], at_us)

    def _touched(self, offset: int) -> int:
        _, _, algorithm, _, _, second, third, fourth, _ = at.HEAD.unpack_from(self._map, offset)
        touched: int = {Algorithm.BUCKET: third, Algorithm.CONCURRENT: second}.get(algorithm, fourth)
        return touched

    def _is_sound(self, region: Region, offset: int) -> bool:
        key, own, algorithm, _, *words, check = at.HEAD.unpack_from(self._map, offset)
        first, second, third, fourth = words
        if own == offset and check == at.check_word(key, offset, algorithm, (first, second, third, fourth)):
            return True
        _logger.error("a damaged counter was put out of use; it starts anew from the ledger")
        self._map[offset : offset + 20] = at.DEAD_KEY + offset.to_bytes(4, "little")
        return False

    def _blank(self, counter: Counter, region: Region, offset: int, at_us: int) -> bytes:
        needs_seed = counter.scope is not None and counter.algorithm in (Algorithm.CALENDAR, Algorithm.SLIDING)
        flags = (EntryFlag.VOLATILE if counter.volatile else 0) | (0 if needs_seed else EntryFlag.SEEDED)
        words = self._first_words(counter, at_us)
        check = at.check_word(counter.key, offset, counter.algorithm, words)
        head = at.HEAD.pack(counter.key, offset, counter.algorithm, flags, *words, check)
        window = at.CELL.pack(counter.window_us)
        return (head + bytes(at.CELL_ARRAY.size) + window).ljust(at.SLIDING_SIZE, b"\0")[: region.size]

    @staticmethod
    def _first_words(counter: Counter, at_us: int) -> Words:
        if counter.algorithm is Algorithm.CALENDAR and counter.bounds is not None:
            return (*calendar.window_at(counter.bounds, at_us), 0, at_us)
        if counter.algorithm is Algorithm.SLIDING:
            return sliding.index_at(counter.window_us, at_us), 0, 0, at_us
        if counter.algorithm is Algorithm.BUCKET:
            return 0, 0, at_us, at_us
        return 0, at_us, 0, at_us

    def _note_occupied(self, region: Region) -> None:
        used = self.occupied(region) + 1
        place = at.OCCUPIED_AT + 8 * region.index
        self._map[place : place + 8] = at.OCCUPIED.pack(used)
        full = used * 100 >= region.capacity * WARN_PERCENT
        if full and region.name != "address" and region.name not in self._warned:
            self._warned.add(region.name)
            _logger.warning("%s counters: %d of %d in use", region.name, used, region.capacity)


def is_body_over(body: bytes, at_us: int) -> bool:
    """Whether an entry's bytes count nothing any more."""
    _, _, algorithm, _, first, second, _, fourth, _ = at.HEAD.unpack_from(body)
    if algorithm == Algorithm.CALENDAR:
        return bool(at_us >= second)
    if algorithm == Algorithm.SLIDING:
        window_us = at.CELL.unpack_from(body, at.WINDOW_AT)[0]
        return window_us <= 0 or at_us >= sliding.leaves_at(window_us, first)
    if algorithm == Algorithm.BUCKET:
        return bool(at_us >= fourth)
    return bool(first == 0)
