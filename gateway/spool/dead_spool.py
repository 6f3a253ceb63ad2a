"""The spool of an incarnation that died, locked by who recovers it: searched for records, and continued."""

import contextlib
import os
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from gateway.metering.ports import Position
from gateway.metering.record import CallRecord, decode, encode
from gateway.spool.appender import Appender, Tail
from gateway.spool.files import open_locked_directory
from gateway.spool.fitting import encode_within
from gateway.spool.folder import list_segments, read_header
from gateway.spool.reader import SpoolReader
from gateway.spool.segment import MAX_PAYLOAD, SEGMENT_SIZE, align, segment_name

_MARK = bytes(range(200, 216))
_ID_AT = encode(CallRecord(id=_MARK, at_us=0, route="", method="", path="")).index(_MARK)
"""Where a packed record has its call id: most frames are passed over without being unpacked."""


class DeadSpool:
    """One incarnation's directory, held by its lock. ``appended`` is what its writer said that it had appended."""

    def __init__(self, directory: Path, incarnation: str, appended: int, lock: int) -> None:
        self._folder = directory / incarnation
        self._reader = SpoolReader(directory)
        self._lock = lock
        self._appended = appended
        self._tail: Tail | None = None
        self._appender: Appender | None = None

    @classmethod
    def take(cls, directory: Path, incarnation: str, appended: int) -> "DeadSpool | None":
        """Lock the directory, which is made when the worker died before it made it; None when a writer still has it."""
        (directory / incarnation).mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = open_locked_directory(directory / incarnation)
        return None if lock is None else cls(directory, incarnation, appended, lock)

    def records(self, call_ids: Collection[bytes], floor: int) -> dict[bytes, list[CallRecord]]:
        """All parts of these calls that were recorded behind sequence ``floor``."""
        found: dict[bytes, list[CallRecord]] = {}
        position = Position(self._folder.name, floor)
        while frames := self._reader.read(position, 10_000):
            position = frames[-1].position
            for frame in frames:
                if frame.payload[_ID_AT : _ID_AT + len(_MARK)] in call_ids:
                    record = decode(frame.payload)
                    if isinstance(record, CallRecord):
                        found.setdefault(record.id, []).append(record)
        self._tail = self._reader.tail(self._folder.name, position.sequence)
        return found

    def append(self, record: CallRecord) -> int:
        """Append behind the last whole frame; raises ``OSError``."""
        self._open()
        assert self._appender is not None
        return self._appender.append(encode_within(record, MAX_PAYLOAD))

    def seal(self, appended: int) -> int:
        """Make all durable, cut off a torn end, give back what was preallocated; the sequence that it ends with."""
        if self._appender is None and list_segments(self._folder):
            self._open()
        if self._appender is None:
            return appended
        last = self._appender.sequence
        self._appender.close()
        self._appender = None
        return last

    def _open(self) -> None:
        if self._appender is not None:
            return
        assert self._tail is not None, "the spool is searched before it is appended to"
        segments = list_segments(self._folder)
        header = next((found for path in segments.values() if (found := read_header(path))), None)
        host_id = header.host_id if header else bytes(16)
        tail = self._behind_damage(self._tail)
        self._appender = Appender(self._folder, host_id, SEGMENT_SIZE, tail, preallocated=False)

    def _behind_damage(self, tail: Tail) -> Tail:
        """Whole frames that were appended and are damaged now keep their place and their numbers: the gap shows."""
        if self._appended <= tail.sequence:
            return tail
        if not tail.number:
            return replace(tail, sequence=self._appended)
        data = (self._folder / segment_name(tail.number)).read_bytes()
        end = max(tail.offset, align(len(data.rstrip(b"\0"))))
        return Tail(tail.number, end, self._appended)

    def close(self) -> None:
        """Let go of it."""
        self._reader.close()
        if self._appender is not None:
            with contextlib.suppress(OSError):
                self._appender.close()
        os.close(self._lock)
