"""Appends frames to the segments of one incarnation: one thread, one ``pwrite`` a frame, a tail that repairs itself."""

import contextlib
import errno
import os
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from os import pwrite
from pathlib import Path
from threading import Lock
from typing import Final
from zlib import crc32

from gateway.spool.files import PRIVATE, preallocate, sync_directory, write_whole
from gateway.spool.segment import (
    ALIGNMENT,
    FRAME_HEAD,
    HEADER_SIZE,
    LENGTH_CRC,
    SEQUENCE,
    Header,
    seed_of,
    segment_name,
)

SPARE_NAME: Final = "next.tmp"
_pack_sequence: Final = SEQUENCE.pack
_pack_head: Final = LENGTH_CRC.pack
_crc32: Final = crc32
_pwrite: Final = pwrite
_NEW: Final = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC


@dataclass(frozen=True)
class Tail:
    """Where an incarnation's last segment stands: ``offset`` is free, ``sequence`` is that of the last frame."""

    number: int
    offset: int
    sequence: int


EMPTY: Final = Tail(0, 0, 0)


def _nothing() -> None:
    """What happens on a roll when nobody waits for it."""


class Appender:
    """The segments of one incarnation, open for appending.

    ``preallocated`` is for who must not meet a full disk; a recovery of a few records takes what it needs.
    Only the owner's thread appends. Another may call ``prepare_spare`` and ``sync``: a segment that was rolled off
    is kept open until ``sync`` has made it durable. ``sequence`` is that of the last frame.
    """

    def __init__(
        self, folder: Path, host_id: bytes, segment_size: int, tail: Tail = EMPTY, *, preallocated: bool = True
    ) -> None:
        self.sequence = tail.sequence
        self.on_roll: Callable[[], None] = _nothing
        self._folder = folder
        self._host_id = host_id
        self._size = segment_size
        self._preallocated = preallocated
        self._number = tail.number
        self._offset = self._limit = self._torn = self._seed = 0
        self._fd = -1
        self._spare = -1
        self._spare_lock = Lock()
        self._sync_lock = Lock()
        self._unsynced: deque[int] = deque()
        self._new_names = True
        if tail.number:
            self._fd = os.open(folder / segment_name(tail.number), os.O_RDWR | os.O_CLOEXEC)
            self._seed = seed_of(folder.name, tail.number)
            self._offset = tail.offset
            self._limit = max(segment_size, tail.offset)
            # What follows the tail is at most one write that a kill cut short, and what was preallocated.
            os.ftruncate(self._fd, tail.offset)
        else:
            self._roll()

    @property
    def room(self) -> int:
        """Bytes that appends can take without asking the file system for more."""
        return self._limit - self._offset + (self._size - HEADER_SIZE if self._spare >= 0 else 0)

    def append(self, payload: bytes) -> int:
        """Write one frame; it survives the death of every process once this returns. Returns its sequence.

        Raises ``OSError`` when the disk does not take it: nothing was appended, and the next append writes over
        what may stand there.
        """
        length = len(payload)
        if self._offset + FRAME_HEAD + length > self._limit:
            self._roll()
        sequence = self.sequence + 1
        body = _pack_sequence(sequence) + payload
        frame = _pack_head(length, _crc32(body, self._seed ^ length)) + body
        offset = self._offset
        end = offset + FRAME_HEAD + length
        if self._torn > end:
            frame += bytes(self._torn - end)
        try:
            if _pwrite(self._fd, frame, offset) != len(frame):
                raise OSError(errno.ENOSPC, "the disk took a part of a record")
        except OSError:
            self._torn = max(self._torn, end)
            raise
        self._torn = 0
        self._offset = (end + ALIGNMENT - 1) & -ALIGNMENT
        self.sequence = sequence
        return sequence

    def _roll(self) -> None:
        """Go on in the next segment; when that cannot be had, everything stays as it is."""
        with self._spare_lock:
            self._make_spare()
            number, spare = self._number + 1, self._spare
            write_whole(spare, Header(self._host_id, self.sequence + 1).pack(), 0)
            (self._folder / SPARE_NAME).rename(self._folder / segment_name(number))
            self._spare = -1
        if self._fd >= 0:
            self._unsynced.append(self._fd)
        self._fd, self._number, self._seed = spare, number, seed_of(self._folder.name, number)
        self._offset, self._limit, self._torn = HEADER_SIZE, self._size, 0
        self._new_names = True
        self.on_roll()

    def prepare_spare(self) -> None:
        """Have the next segment ready, so that an append never waits for it. Raises ``OSError``."""
        with self._spare_lock:
            self._make_spare()

    def _make_spare(self) -> None:
        if self._spare >= 0:
            return
        path = self._folder / SPARE_NAME
        fd = os.open(path, _NEW, PRIVATE)
        try:
            if self._preallocated:
                preallocate(fd, self._size)
        except OSError:
            os.close(fd)
            path.unlink()
            raise
        self._spare = fd

    def sync(self) -> int:
        """Make everything appended so far durable; returns the sequence that this reaches. Raises ``OSError``."""
        with self._sync_lock:
            # The owner may roll at any step: the current descriptor is read before the list that it may move to.
            reached, current = self.sequence, self._fd
            for _ in range(len(self._unsynced)):
                fd = self._unsynced[0]
                os.fdatasync(fd)
                os.close(self._unsynced.popleft())
                current = -1 if fd == current else current
            if current >= 0:
                os.fdatasync(current)
            if self._new_names:
                self._new_names = False
                sync_directory(self._folder)
            return reached

    def close(self) -> None:
        """Give back what was preallocated and not used, make the rest durable, and close."""
        try:
            os.ftruncate(self._fd, self._offset)
            self.sync()
        finally:
            self.detach()
            with contextlib.suppress(FileNotFoundError):
                (self._folder / SPARE_NAME).unlink()

    def detach(self) -> None:
        """Close every descriptor, and leave the files as the process's death would."""
        for fd in (self._fd, self._spare, *self._unsynced):
            if fd >= 0:
                os.close(fd)
        self._unsynced.clear()
        self._fd = self._spare = -1
