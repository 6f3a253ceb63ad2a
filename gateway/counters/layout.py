"""The format of a counter file: header, undo area, journal, and three regions of entries. All numbers little-endian.

An entry is 64 bytes: ``key 16 · meta 8 · words 4×8 · check 8``; a sliding entry adds 61 cells of 8 bytes and its
window. ``meta`` is (own offset, algorithm, flags), so that a copy in the undo area says where it belongs. ``check`` is
the exclusive or of the words and the entry's identity.
"""

from dataclasses import dataclass
from enum import IntEnum, IntFlag
from struct import Struct
from typing import Final

from gateway.quotas.limit import Algorithm
from gateway.quotas.sliding import CELLS

MAGIC: Final = b"GWCOUNT\x00"
FORMAT: Final = 1

STATIC: Final[Struct] = Struct("<8sIIIIQ")  # magic, format, three capacities, generation; then their crc32
STATIC_CRC: Final[Struct] = Struct("<I")
BOOT_AT: Final = 64  # 16 bytes: the boot whose monotonic clock the anchor is in
HOT: Final[Struct] = Struct("<QQqqq")  # superseded, dirty, anchor_mono, anchor_us, last_us
HOT_AT: Final = 128
SUPERSEDED_AT: Final = HOT_AT  # the generation that took this file's place, or 0
DIRTY_AT: Final = HOT_AT + 8  # how many undo slots hold entries to be restored; WHOLE: with their cells
CLOCK: Final[Struct] = Struct("<qqq")
CLOCK_AT: Final = HOT_AT + 16
OCCUPIED: Final[Struct] = Struct("<Q")  # one per region: slots that have ever been used (they never become empty again)
OCCUPIED_AT: Final = 192
WHOLE: Final = 0x80
COUNT_MASK: Final = 0x7F

UNDO_AT: Final = 4096
UNDO_STRIDE: Final = 576  # of whole entries; copies of heads alone stand HEAD_SIZE apart
UNDO_SLOTS: Final = 112

JOURNAL: Final[Struct] = Struct("<16s16sqII")  # incarnation, call id, at_us, phase, own offset
JOURNAL_STRIDE: Final = 64
JOURNAL_SLOTS: Final = 512
JOURNAL_AT: Final = UNDO_AT + UNDO_STRIDE * UNDO_SLOTS
JOURNAL_SIZE: Final = 48
UNDO_JOURNAL_AT: Final = UNDO_AT - JOURNAL_SIZE  # right before the entries, so that one write makes both copies
ENTRIES_AT: Final = JOURNAL_AT + JOURNAL_STRIDE * JOURNAL_SLOTS

HEAD: Final[Struct] = Struct("<16sIHHqqqqQ")  # key, own offset, algorithm, flags, four words, check
HEAD_SIZE: Final = 64
WORDS: Final[Struct] = Struct("<qqqqQ")
WORDS_AT: Final = 24  # within an entry
CELL: Final[Struct] = Struct("<q")
CELLS_AT: Final = HEAD_SIZE
CELL_ARRAY: Final[Struct] = Struct(f"<{CELLS}q")
WINDOW_AT: Final = CELLS_AT + CELL_ARRAY.size
SLIDING_SIZE: Final = 576

EMPTY_KEY: Final = bytes(16)  # never used: ends a search
DEAD_KEY: Final = b"\xff" * 16  # was found corrupt: may be reused, does not end a search
MASK_64: Final = (1 << 64) - 1

assert (HEAD.size, JOURNAL.size) == (HEAD_SIZE, JOURNAL_SIZE)
assert WINDOW_AT + 8 <= SLIDING_SIZE <= UNDO_STRIDE
assert CLOCK_AT + CLOCK.size <= OCCUPIED_AT
assert ENTRIES_AT % 64 == 0


class EntryFlag(IntFlag):
    """What a store knows of an entry beside its figures."""

    SEEDED = 1  # the ledger's sum is in it, or none is needed
    VOLATILE = 2  # counts by address


class Phase(IntEnum):
    """What a journal entry says was done last."""

    NONE = 0
    RESERVE = 1
    SETTLE = 2
    RELEASE = 3


@dataclass(frozen=True, slots=True)
class Region:
    """A run of equal entries; ``capacity`` is a power of two."""

    name: str
    index: int
    start: int
    capacity: int
    size: int

    @property
    def end(self) -> int:
        return self.start + self.capacity * self.size

    def offset(self, slot: int) -> int:
        return self.start + slot * self.size


@dataclass(frozen=True, slots=True)
class Capacity:
    """Entries per region, each a power of two: 64 bytes for calendar windows, buckets and concurrency; 576 for the
    others. The defaults take 18 MiB.
    """

    small: int = 1 << 16
    sliding: int = 1 << 14
    address: int = 1 << 13

    def __post_init__(self) -> None:
        for value in (self.small, self.sliding, self.address):
            if value < 8 or value & (value - 1) or value > 1 << 24:
                raise ValueError("a region's capacity is a power of two from 8 to 2^24")


class Layout:
    """Where the regions of a file of some capacity lie."""

    __slots__ = ("address", "capacity", "regions", "size", "sliding", "small")

    def __init__(self, capacity: Capacity) -> None:
        self.capacity = capacity
        self.small = Region("small", 0, ENTRIES_AT, capacity.small, HEAD_SIZE)
        self.sliding = Region("sliding", 1, self.small.end, capacity.sliding, SLIDING_SIZE)
        self.address = Region("address", 2, self.sliding.end, capacity.address, SLIDING_SIZE)
        self.regions = (self.small, self.sliding, self.address)
        self.size = self.address.end
        if self.size >= 1 << 32:
            raise ValueError("a counter file is smaller than 4 GiB")

    def region_for(self, algorithm: Algorithm, volatile: bool) -> Region:
        if volatile:
            return self.address
        return self.sliding if algorithm is Algorithm.SLIDING else self.small

    def region_at(self, offset: int) -> Region | None:
        """The region in which an entry starts at ``offset``, if one does."""
        for region in self.regions:
            if region.start <= offset < region.end:
                return region if (offset - region.start) % region.size == 0 else None
        return None


def identity(key: bytes, offset: int, algorithm: int) -> int:
    """The part of an entry's check word that its words do not change (flags are outside the check)."""
    low, high = int.from_bytes(key[:8], "little"), int.from_bytes(key[8:], "little")
    return (low ^ (high << 1) ^ (offset << 32 | algorithm << 16) ^ 0x5AA5) & MASK_64


def check_word(key: bytes, offset: int, algorithm: int, words: tuple[int, int, int, int]) -> int:
    """The check word of an entry."""
    first, second, third, fourth = words
    return identity(key, offset, algorithm) ^ first ^ second ^ third ^ fourth
