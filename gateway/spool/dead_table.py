"""The in-flight table of a worker that died, locked by who recovers it: its slots, and the marks of recovery."""

import mmap
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from struct import Struct
from zlib import crc32

import msgspec

from gateway.errors import GatewayError
from gateway.metering.record import CallRecord, decode
from gateway.spool.files import replace_file, try_lock
from gateway.spool.table_format import (
    AREA_HEAD,
    AT_OFFSET,
    CHECKPOINTED,
    DONE_SUFFIX,
    READABLE_FORMATS,
    RETURNED_OFFSET,
    SLOT,
    SLOT_HEAD,
    STATES_AT,
    TALLY_AT,
    State,
    TableHeader,
    unpack_table_header,
)

_TALLY = Struct("=Q")
_TIME = Struct("=q")


@dataclass(frozen=True, slots=True)
class DeadSlot:
    """One call that a dead worker was in the middle of.

    ``record`` is None when its bytes are damaged, which only a power loss can do. ``reservation`` is empty when the
    counters hold nothing of the call. The call's own record in the spool is behind sequence ``floor``.
    """

    index: int
    state: State
    call_id: bytes
    at_us: int
    floor: int
    reservation: bytes
    record: CallRecord | None
    checkpointed: bool


class DeadTable:
    """A table that nobody else holds. Every mark is one store, so that recovery can die at any of them."""

    def __init__(self, path: Path, header: TableHeader, fd: int) -> None:
        self.path = path
        self.header = header
        self._fd = fd
        self._map = mmap.mmap(fd, header.file_size)

    @classmethod
    def take(cls, path: Path) -> "DeadTable | None":
        """Lock and map a table; None when its worker lives, or another has recovered it meanwhile.

        Raises ``GatewayError`` for a table that this program cannot read.
        """
        try:
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            if not try_lock(fd) or not _is_same_file(fd, path):
                os.close(fd)
                return None
            header = unpack_table_header(os.pread(fd, STATES_AT, 0))
            if header is None or (header.format in READABLE_FORMATS and os.fstat(fd).st_size < header.file_size):
                path.rename(path.with_name(path.name + ".damaged"))
                raise GatewayError(f"{path} was damaged and is set aside; counters are made anew without what it held")
            if header.format not in READABLE_FORMATS:
                raise GatewayError(f"{path} was written by a newer gateway; upgrade this one")
            return cls(path, header, fd)
        except (GatewayError, OSError):
            os.close(fd)
            raise

    def slots(self) -> list[DeadSlot]:
        """The slots in use."""
        return list(self._slots())

    def _slots(self) -> Iterator[DeadSlot]:
        for index, state in enumerate(self._map[STATES_AT : STATES_AT + self.header.slots]):
            if state == State.FREE:
                continue
            at = self._at(index)
            call_id, _, at_us, floor, held, area, returned = SLOT.unpack_from(self._map, at)
            held = min(held, self.header.reservation_limit)
            start = at + SLOT_HEAD
            place = start + held + area % CHECKPOINTED * self.header.area_size(held)
            yield DeadSlot(
                index=index,
                # A state that is none of ours is damage: the careful reading is that the upstream saw the call.
                state=State(state) if state in State.__members__.values() else State.SENT,
                call_id=call_id,
                at_us=at_us,
                floor=floor,
                reservation=b"" if returned else self._map[start : start + held],
                record=self._record_at(place, self.header.area_size(held), call_id),
                checkpointed=area >= CHECKPOINTED,
            )

    def _record_at(self, place: int, size: int, call_id: bytes) -> CallRecord | None:
        length, checksum = AREA_HEAD.unpack_from(self._map, place)
        payload = self._map[place + AREA_HEAD.size : place + AREA_HEAD.size + length]
        if not 0 < length <= size - AREA_HEAD.size or crc32(payload) != checksum:
            return None
        try:
            record = decode(payload)
        except (msgspec.DecodeError, UnicodeError):
            return None
        return record if isinstance(record, CallRecord) and record.id == call_id else None

    def _at(self, index: int) -> int:
        return self.header.slots_at + index * self.header.slot_size

    def mark_reserved(self, index: int, at_us: int) -> None:
        """The reserve in doubt did happen."""
        _TIME.pack_into(self._map, self._at(index) + AT_OFFSET, at_us)
        self._map[STATES_AT + index] = State.RESERVED

    def mark_returned(self, index: int) -> None:
        """The counters are done with the call."""
        self._map[self._at(index) + RETURNED_OFFSET] = 1

    def free(self, index: int) -> None:
        """Nothing of the call is left to recover."""
        self._map[STATES_AT + index] = State.FREE

    @property
    def appended(self) -> int:
        """How many frames the spool was given (SEMANTICS §30)."""
        count: int = _TALLY.unpack_from(self._map, TALLY_AT)[0]
        return count

    @appended.setter
    def appended(self, count: int) -> None:
        _TALLY.pack_into(self._map, TALLY_AT, count)

    def retire(self) -> None:
        """Leave of the table only its count of frames; every slot is free by now."""
        retire(self.path, self.header.incarnation, self.appended)

    def close(self) -> None:
        """Let go of it; another may take it."""
        self._map.close()
        os.close(self._fd)


def retire(path: Path, incarnation: str, appended: int) -> None:
    """Replace a table by the count of the frames appended, for ``reconcile`` (SEMANTICS §30)."""
    replace_file(path.with_name(incarnation + DONE_SUFFIX), str(appended).encode())
    path.unlink(missing_ok=True)


def _is_same_file(fd: int, path: Path) -> bool:
    """Whether the path still names the locked file: another recovery may have just finished with it."""
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False
