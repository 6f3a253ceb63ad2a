"""The form of an in-flight table: a header, one state byte a slot, then the slots (SEMANTICS §3).

Header ``{magic, format, worker, slots, slot size, incarnation, crc}``, and the count of frames appended. A slot is
``{call id, since, at, floor, reservation length, area, returned}``, the packed reservation, and two areas ``{length,
crc32, packed record}``: one holds while the other is rewritten. Native byte order: a table is read on the machine
that wrote it.
"""

import re
from dataclasses import dataclass
from enum import IntEnum
from mmap import mmap
from struct import Struct
from typing import Final
from zlib import crc32

TABLE_SUFFIX: Final = ".table"
DONE_SUFFIX: Final = ".done"
MAGIC: Final = b"GWFLIGHT"
FORMAT: Final = 1
READABLE_FORMATS: Final = frozenset({FORMAT})
HEADER_SIZE: Final = 4096
STATES_AT: Final = HEADER_SIZE
SLOT_SIZE: Final = 8192
SLOTS: Final = 4096
TALLY_AT: Final = 512
NAME_SIZE: Final = 128

_HEADER: Final = Struct("=8sHHIII128s")
_CRC: Final = Struct("=I")
SLOT: Final = Struct("=16sqqqIBB18x")  # call id, since_us, at_us, floor, reservation length, area, returned
SINCE_OFFSET: Final = 16
AT_OFFSET: Final = 24
AREA_OFFSET: Final = 44
RETURNED_OFFSET: Final = 45
"""1 when the counters hold nothing of the call (any more)."""
CHECKPOINTED: Final = 2
"""Added to the area's number when the record in it is a checkpoint's."""
SLOT_HEAD: Final = 64
AREA_HEAD: Final = Struct("=II")
MIN_AREA: Final = 768
"""A record without its free texts fits in this."""


class State(IntEnum):
    """How far a call has come; one byte, written last, so that a slot is never half in a state."""

    FREE = 0
    OPEN = 1  # the reserve may or may not have happened
    RESERVED = 2
    SENT = 3  # the upstream may have seen the call
    SETTLED = 4  # record written, counters settled: only the last byte is missing


@dataclass(frozen=True, slots=True)
class TableHeader:
    """What never changes in a table."""

    worker: int
    slots: int
    slot_size: int
    incarnation: str
    format: int = FORMAT

    def pack(self) -> bytes:
        name = self.incarnation.encode()
        if len(name) > NAME_SIZE:
            raise ValueError(f"incarnation longer than {NAME_SIZE} bytes")
        fields = _HEADER.pack(MAGIC, self.format, 0, self.worker, self.slots, self.slot_size, name)
        return fields + _CRC.pack(crc32(fields))

    @property
    def slots_at(self) -> int:
        """Where the first slot starts: behind the states, on a page of its own."""
        return STATES_AT + (self.slots + 4095) // 4096 * 4096

    @property
    def file_size(self) -> int:
        return self.slots_at + self.slots * self.slot_size

    @property
    def reservation_limit(self) -> int:
        """Bytes of the largest packed reservation: some eighty limits in a slot of the default size."""
        return self.slot_size - SLOT_HEAD - 2 * MIN_AREA

    def area_size(self, reservation: int) -> int:
        """Bytes of each record area, its head included, behind a reservation of some length."""
        return (self.slot_size - SLOT_HEAD - reservation) // 16 * 8


def unpack_table_header(data: bytes) -> TableHeader | None:
    """The header; None for damage. One of an unknown format is returned: the caller refuses it."""
    if len(data) < _HEADER.size + _CRC.size:
        return None
    magic, version, _, worker, slots, slot_size, name = _HEADER.unpack_from(data)
    (checksum,) = _CRC.unpack_from(data, _HEADER.size)
    if magic != MAGIC or checksum != crc32(data[: _HEADER.size]):
        return None
    return TableHeader(worker, slots, slot_size, name.rstrip(b"\0").decode(), version)


_USED: Final = re.compile(rb"[^\0]")
"""The state of a slot that is not free."""


def oldest_since(table: mmap | bytes, header: TableHeader) -> int | None:
    """The earliest ``since`` of the slots in use; None when there are none. It may be read while the worker writes."""
    states = table[STATES_AT : STATES_AT + header.slots]
    used = (header.slots_at + found.start() * header.slot_size for found in _USED.finditer(states))
    return min((SLOT.unpack_from(table, at)[1] for at in used), default=None)
