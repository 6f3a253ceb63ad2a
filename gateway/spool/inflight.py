"""The in-flight table of a worker: what every call in progress leaves if the worker dies now (SEMANTICS §3)."""

import mmap
import os
from pathlib import Path
from struct import Struct
from typing import Final
from zlib import crc32

from gateway.errors import StoreUnavailable
from gateway.metering.record import CallRecord, encode
from gateway.spool.dead_table import retire
from gateway.spool.files import PRIVATE, preallocate, sync_directory, try_lock
from gateway.spool.fitting import encode_within
from gateway.spool.identity import new_incarnation as new_incarnation
from gateway.spool.identity import read_host_id as read_host_id
from gateway.spool.table_format import (
    AREA_HEAD,
    AREA_OFFSET,
    AT_OFFSET,
    CHECKPOINTED,
    RETURNED_OFFSET,
    SINCE_OFFSET,
    SLOT,
    SLOT_HEAD,
    SLOT_SIZE,
    SLOTS,
    STATES_AT,
    TABLE_SUFFIX,
    TALLY_AT,
    State,
    TableHeader,
    oldest_since,
)

_pack_slot: Final = SLOT.pack
_pack_area: Final = AREA_HEAD.pack
_pack_time: Final = Struct("=q").pack_into
_OPEN: Final = int(State.OPEN)
_RESERVED: Final = int(State.RESERVED)
_SENT: Final = int(State.SENT)
_SETTLED: Final = int(State.SETTLED)
_encode: Final = encode
_crc32: Final = crc32


class InflightTable:
    """``inflight/<incarnation>.table``: memory-mapped, preallocated, locked for the life of the worker.

    What a slot says survives the worker's death at any instruction: the state byte is written last. ``tally`` is the
    word that counts the frames appended to the spool; the writer is given it.
    """

    def __init__(self, path: Path, header: TableHeader, fd: int) -> None:
        self.incarnation = header.incarnation
        self._path = path
        self._fd = fd
        self._map = mmap.mmap(fd, header.file_size)
        self._view = memoryview(self._map)
        self.tally = self._view[TALLY_AT : TALLY_AT + 8].cast("Q")
        self._first = header.slots_at
        self._slot_size = header.slot_size
        self._header = header
        self._reservation_limit = header.reservation_limit
        self._sure_limit = header.area_size(header.reservation_limit) - AREA_HEAD.size
        self._free = list(range(header.slots - 1, -1, -1))

    @classmethod
    def create(
        cls, directory: Path, incarnation: str, worker: int, slots: int = SLOTS, slot_size: int = SLOT_SIZE
    ) -> "InflightTable":
        """Make the table of a new incarnation of worker slot ``worker``. Raises ``OSError`` when the disk is full."""
        header = TableHeader(worker, slots, slot_size, incarnation)
        path = directory / f"{incarnation}{TABLE_SUFFIX}"
        # Locked before it has its name: no recovery takes it for a dead worker's.
        unnamed = directory / f".{incarnation}.new"
        fd = os.open(unnamed, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE)
        try:
            try_lock(fd)
            preallocate(fd, header.file_size)
            os.pwrite(fd, header.pack(), 0)
            unnamed.rename(path)
            sync_directory(directory)
        except OSError:
            unnamed.unlink(missing_ok=True)
            os.close(fd)
            raise
        return cls(path, header, fd)

    def open(self, call_id: bytes, record: CallRecord, reservation: bytes) -> int:
        """Write down a call before its reserve: the record it leaves if the worker dies, and what it will reserve.

        Raises ``StoreUnavailable`` when every slot is taken, or the call does not fit in one.
        """
        payload = _encode(record)
        held = len(reservation)
        if held > self._reservation_limit or len(payload) > self._sure_limit:
            payload = self._fit(record, held)
        try:
            slot = self._free.pop()
        except IndexError:
            message = f"all {self._header.slots} slots of the in-flight table are taken"
            raise StoreUnavailable(message, reason="inflight_full") from None
        table = self._map
        at = self._first + slot * self._slot_size
        # The time in the call id, without a call: uuid7_time_us.
        since_us = int.from_bytes(call_id[:6], "big") * 1000
        head = _pack_slot(call_id, since_us, 0, self.tally[0], held, 0, 0)
        content = head + reservation + _pack_area(len(payload), _crc32(payload)) + payload
        table[at : at + len(content)] = content
        table[STATES_AT + slot] = _OPEN
        return slot

    def _fit(self, record: CallRecord, held: int) -> bytes:
        """The record with its free texts cut; figures and reservation never are: such a call is refused."""
        if held > self._reservation_limit:
            raise StoreUnavailable(f"a reservation of {held} bytes", reason="inflight_oversized")
        try:
            return encode_within(record, self._header.area_size(held) - AREA_HEAD.size)
        except ValueError as error:
            raise StoreUnavailable(str(error), reason="inflight_oversized") from None

    def reserved(self, slot: int, at_us: int, taken: bool = True) -> None:
        """The reserve happened; ``at_us`` is ``Decision.at``.

        ``taken`` False: the store did not answer and policy let the call pass, so there is nothing to give back.
        """
        at = self._first + slot * self._slot_size
        _pack_time(self._map, at + AT_OFFSET, at_us)
        if not taken:
            self._map[at + RETURNED_OFFSET] = 1
        self._map[STATES_AT + slot] = _RESERVED

    def sent(self, slot: int) -> None:
        """The first byte is about to go upstream: from now on the call leaves a record."""
        self._map[STATES_AT + slot] = _SENT

    def checkpoint(self, slot: int, record: CallRecord) -> None:
        """Replace the record by what the call would leave now; ``record.part_at_us`` is the checkpoint's time."""
        table = self._map
        at = self._first + slot * self._slot_size
        held = SLOT.unpack_from(table, at)[4]
        payload = _encode(record)
        if len(payload) > self._sure_limit:
            payload = self._fit(record, held)
        other = 1 - table[at + AREA_OFFSET] % CHECKPOINTED
        area = at + SLOT_HEAD + held + other * self._header.area_size(held)
        AREA_HEAD.pack_into(table, area, len(payload), _crc32(payload))
        area += AREA_HEAD.size
        table[area : area + len(payload)] = payload
        table[at + AREA_OFFSET] = other + CHECKPOINTED
        _pack_time(table, at + SINCE_OFFSET, record.part_at_us or record.at_us)

    def settled(self, slot: int) -> None:
        """Record appended and counters settled: a recovery leaves both alone."""
        self._map[STATES_AT + slot] = _SETTLED

    def close(self, slot: int) -> None:
        """The client has its last byte; the slot is free."""
        self._map[STATES_AT + slot] = 0
        self._free.append(slot)

    @property
    def open_slots(self) -> int:
        """How many calls are in flight."""
        return self._header.slots - len(self._free)

    def oldest_open_us(self) -> int | None:
        """When the longest-open call began, or was last checkpointed; None when none is open (SEMANTICS §29)."""
        return oldest_since(self._map, self._header)

    def remove(self) -> None:
        """Let go of the table at the worker's end. With calls still open it stays, for recovery to find.

        The spool is closed first: a recovery needs its lock.
        """
        if not self.open_slots:
            retire(self._path, self.incarnation, self.tally[0])
        self.detach()

    def detach(self) -> None:
        """Let go of map and lock, and leave the file as the worker's death would."""
        self.tally.release()
        self._view.release()
        self._map.close()
        os.close(self._fd)
