"""The last operation of each worker incarnation, changed in the same step as the counters it changed.

A worker that dies between an operation and its note in the in-flight table leaves one operation in doubt, its last;
this tells a recovery whether it happened (SEMANTICS §3, 20). All functions need the lock.
"""

from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

from gateway.counters import layout as at
from gateway.counters.layout import Phase
from gateway.counters.mapfile import CounterFile
from gateway.errors import StoreUnavailable

BLANK: Final = bytes(at.JOURNAL.size)


@dataclass(frozen=True)
class Operation:
    """What an incarnation did last: one whole step of one call, at the store's time."""

    call_id: bytes
    phase: Phase
    at_us: int


class Journal:
    """One incarnation's place in a counter file, with what stands there."""

    def __init__(self, name: bytes, offset: int, content: bytes) -> None:
        self.name = name
        self.offset = offset
        self.content = content

    @property
    def operation(self) -> Operation | None:
        """What the content says; None before the first operation."""
        _, call_id, at_us, phase, _ = at.JOURNAL.unpack(self.content)
        return Operation(call_id, Phase(phase), at_us) if phase else None

    def has_finished(self, call_id: bytes) -> bool:
        """Whether the last operation settled or released this call."""
        last = self.operation
        return last is not None and last.call_id == call_id and last.phase is not Phase.RESERVE


NO_JOURNAL: Final = Journal(bytes(16), 0, BLANK)
"""For stores that reserve for nobody (commands, pages): its entries are written to no place."""


def journal_name(incarnation: str) -> bytes:
    """An incarnation as the journal knows it: 16 bytes."""
    return blake2b(incarnation.encode(), digest_size=16).digest()


def find(file: CounterFile, incarnation: str) -> Journal | None:
    """The incarnation's journal, if it has one."""
    name = journal_name(incarnation)
    for offset in range(at.JOURNAL_AT, at.ENTRIES_AT, at.JOURNAL_STRIDE):
        content = file.map[offset : offset + at.JOURNAL.size]
        if content[:16] == name:
            return Journal(name, offset, content)
    return None


def in_use(file: CounterFile) -> dict[bytes, int]:
    """Where those stand that changed something and are not forgotten, by name."""
    places = range(at.JOURNAL_AT, at.ENTRIES_AT, at.JOURNAL_STRIDE)
    held = (at.JOURNAL.unpack_from(file.map, offset) for offset in places)
    return {name: offset for name, _, _, phase, offset in held if name != at.EMPTY_KEY and phase}


def find_or_make(file: CounterFile, incarnation: str) -> Journal:
    """The incarnation's journal; raises ``StoreUnavailable`` when every place is taken by one not yet recovered."""
    if not incarnation:
        return NO_JOURNAL
    found = find(file, incarnation)
    if found is not None:
        return found
    name = journal_name(incarnation)
    for offset in range(at.JOURNAL_AT, at.ENTRIES_AT, at.JOURNAL_STRIDE):
        if file.map[offset : offset + 16] == at.EMPTY_KEY:
            content = at.JOURNAL.pack(name, bytes(16), 0, Phase.NONE, offset)
            file.map[offset : offset + len(content)] = content
            return Journal(name, offset, content)
    raise StoreUnavailable(f"{at.JOURNAL_SLOTS} worker incarnations wait for recovery", "journal_full")


def forget(file: CounterFile, incarnation: str) -> None:
    """Free the place of an incarnation that is recovered."""
    found = find(file, incarnation)
    if found is not None:
        file.map[found.offset : found.offset + len(BLANK)] = BLANK
