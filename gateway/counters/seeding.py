"""Counters that a configuration change created: noted for the shipper, which adds the ledger's sum (SEMANTICS §16).

The notes are a file of JSON lines beside the counters, written before the entry exists: a note without an entry means
nothing, an entry without a note could not happen. Who adds or clears holds the file's flock: workers that count in
Redis share no other lock.
"""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from fcntl import LOCK_EX, flock
from pathlib import Path
from typing import BinaryIO

import msgspec

from gateway.errors import StoreUnavailable
from gateway.quotas import calendar, sliding
from gateway.quotas.counter import Counter
from gateway.quotas.limit import Algorithm

MAX_BYTES = 256 << 20
"""Beyond this, new counters are seeded by ``reconcile`` only."""


@dataclass(frozen=True, slots=True)
class Unseeded:
    """A counter that lacks the ledger's counted units with ``start_us <= at_us < created_us`` of its scope.

    Empty ``key_id`` and ``route`` mean any; ``routes`` empty means any, else those only.
    """

    key: bytes
    algorithm: Algorithm
    meter: str
    tenant: str
    key_id: str
    route: str
    routes: tuple[str, ...]
    start_us: int
    created_us: int
    window_us: int = 0


_FIELDS = tuple(field.name for field in fields(Unseeded))


def describe(counter: Counter, created_us: int) -> Unseeded | None:
    """What must be added to a counter made now; None when nothing need be."""
    if counter.scope is None or counter.algorithm not in (Algorithm.CALENDAR, Algorithm.SLIDING):
        return None
    if counter.algorithm is Algorithm.CALENDAR:
        assert counter.bounds is not None
        start_us = calendar.window_at(counter.bounds, created_us)[0]
    else:
        oldest = sliding.index_at(counter.window_us, created_us) - sliding.SUB_BUCKETS
        start_us = -(-oldest * counter.window_us // sliding.SUB_BUCKETS)
    scope, limit = counter.scope, counter.limit
    return Unseeded(
        counter.key,
        counter.algorithm,
        limit.meter,
        scope.tenant,
        scope.key,
        scope.route,
        limit.routes,
        start_us,
        created_us,
        counter.window_us,
    )


class Notes:
    """The file of notes."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def begin(self, counters: Sequence[Counter], at_us: int) -> None:
        """Note those of these new counters that lack the ledger's sum; raises ``StoreUnavailable``."""
        try:
            self.add(*(note for counter in counters if (note := describe(counter, at_us)) is not None))
        except OSError as error:
            raise StoreUnavailable(f"a new counter cannot be noted: {error}", "disk_full") from error

    def add(self, *notes: Unseeded) -> None:
        """Append notes in one write; a partial last line of a process that died is ended first."""
        lines = b"".join(map(_line, notes))
        if not lines:
            return
        fd = self._open(os.O_CREAT)
        try:
            size = os.fstat(fd).st_size
            if size >= MAX_BYTES:
                return
            torn = size > 0 and os.pread(fd, 1, size - 1) != b"\n"
            os.write(fd, (b"\n" if torn else b"") + lines)
        finally:
            os.close(fd)

    def read(self) -> tuple[list[Unseeded], int]:
        """All notes, oldest first, and the bytes they take; lines that are not whole are passed over."""
        notes, size = self.each()
        return list(notes), size

    def each(self) -> tuple[Iterator[Unseeded], int]:
        """The same, one after the other: there may be a million."""
        try:
            file = self._path.open("rb")
        except FileNotFoundError:
            return iter(()), 0
        size = os.fstat(file.fileno()).st_size
        return _notes_of(file, size), size

    def keep(self, notes: Sequence[Unseeded], size: int) -> None:
        """Forget all notes but these, and those that came after the ``size`` bytes that were read.

        The file is left alone where that would free less than half of it.
        """
        lines = b"".join(map(_line, notes))
        if 2 * len(lines) > size or not size:
            return
        try:
            fd = self._open()
        except FileNotFoundError:
            return
        try:
            rest = os.fstat(fd).st_size - size
            if not lines and not rest:
                self._path.unlink()
                return
            fresh = self._path.with_suffix(".new")
            fresh.touch(0o600)
            fresh.write_bytes(lines + os.pread(fd, rest, size))
            fresh.replace(self._path)  # who waits for the lock sees that its file is gone, and opens this one
        finally:
            os.close(fd)

    def _open(self, flags: int = 0) -> int:
        """The file and its lock; not one that was cleared while the lock was waited for."""
        while True:
            fd = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | flags, 0o600)
            flock(fd, LOCK_EX)
            if os.fstat(fd).st_nlink:
                return fd
            os.close(fd)


def _line(note: Unseeded) -> bytes:
    fields = {name: getattr(note, name) for name in _FIELDS} | {"key": note.key.hex()}
    return msgspec.json.encode(fields) + b"\n"


def _notes_of(file: BinaryIO, size: int) -> Iterator[Unseeded]:
    with file:
        for line in file:
            size -= len(line)
            if size < 0:
                return  # it came since
            if (note := _parse(line)) is not None:
                yield note


def _parse(line: bytes) -> Unseeded | None:
    try:
        raw = json.loads(line)
        raw |= {
            "key": bytes.fromhex(raw["key"]),
            "algorithm": Algorithm(raw["algorithm"]),
            "routes": tuple(raw["routes"]),
        }
        return Unseeded(**raw)
    except (ValueError, TypeError, KeyError):
        return None
