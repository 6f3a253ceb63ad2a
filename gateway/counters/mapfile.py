"""One generation of a counter file: made whole before it has its name, mapped, checked, and restored after a crash.

A directory holds ``counters.<generation>.map``; the generation in use is the lowest that is not superseded. All
functions here but ``make_draft`` need the directory's lock.
"""

import logging
import mmap
import os
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gateway.clock import Clock
from gateway.counters import layout as at
from gateway.counters.clock import Reading, boot_id, rebase
from gateway.counters.layout import Capacity, Layout
from gateway.errors import StoreUnavailable
from gateway.quotas.limit import Algorithm
from gateway.quotas.sliding import CELLS

Mapper = Callable[[int, int], mmap.mmap]
"""(descriptor, size) to a shared mapping; tests pass one that fails at a chosen write."""

_NAME = re.compile(r"counters\.(\d{1,12})\.map")
_logger = logging.getLogger(__name__)


@dataclass(slots=True)
class CounterFile:
    """A mapped generation. ``fresh`` when this opening made it, so that it holds nothing yet."""

    path: Path
    generation: int
    layout: Layout
    map: mmap.mmap
    inode: tuple[int, int]
    fresh: bool = False

    def reading(self) -> Reading:
        """The clock words."""
        _, _, anchor_mono, anchor_us, last_us = at.HOT.unpack_from(self.map, at.HOT_AT)
        return anchor_mono, anchor_us, last_us

    def write_reading(self, reading: Reading) -> None:
        self.map[at.CLOCK_AT : at.CLOCK_AT + at.CLOCK.size] = at.CLOCK.pack(*reading)

    def is_superseded(self) -> bool:
        return bool(at.HOT.unpack_from(self.map, at.HOT_AT)[0])

    def has_its_name(self) -> bool:
        """False when the file was deleted, or renamed, or another was put in its place."""
        try:
            return _inode(os.stat(self.path)) == self.inode
        except FileNotFoundError:
            return False

    def close(self) -> None:
        self.map.close()


class _UnusableError(Exception):
    """The file cannot be read by this version; the message says why."""


def open_current(directory: Path, capacity: Capacity, clock: Clock, mapper: Mapper) -> CounterFile:
    """Map the generation in use; make one when there is none, or none that can be read (that one is set aside)."""
    last_us = generation = 0
    found: CounterFile | None = None
    for generation, path in generations(directory):
        if found is not None:
            path.unlink()  # its maker died before it superseded the one in use
            continue
        try:
            file = _map(path, generation, mapper)
        except _UnusableError as error:
            _tell_followers(path, generation + 1)
            aside = path.with_name(f"{path.name}.aside.{os.getpid()}")
            path.rename(aside)
            _logger.error("counters set aside as %s, they start anew from the ledger: %s", aside.name, error)
            continue
        if file.is_superseded():
            last_us = max(last_us, file.reading()[2])
            file.close()
            path.unlink()
            continue
        found = file
    if found is None:
        anchor_mono, anchor_us, _ = rebase(last_us, clock.monotonic(), clock.now())
        reading = anchor_mono, anchor_us, max(last_us, anchor_us - 1)  # this instant is not given yet
        return create(directory, generation + 1, Layout(capacity), reading, mapper)
    restore(found)
    _follow_boot(found, clock)
    return found


def _tell_followers(path: Path, generation: int) -> None:
    """Who counts in a file that was damaged meanwhile leaves it at the next call, as where a file takes its place."""
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        if os.fstat(fd).st_size >= at.SUPERSEDED_AT + 8:
            os.pwrite(fd, generation.to_bytes(8, "little"), at.SUPERSEDED_AT)
    finally:
        os.close(fd)


def generations(directory: Path) -> list[tuple[int, Path]]:
    """The generations in a directory, oldest first."""
    names = ((_NAME.fullmatch(path.name), path) for path in directory.iterdir())
    return sorted((int(match[1]), path) for match, path in names if match)


def create(directory: Path, generation: int, layout: Layout, reading: Reading, mapper: Mapper) -> CounterFile:
    """Make an empty generation, with its name."""
    file = make_draft(directory, generation, layout, reading, mapper)
    adopt(file)
    return file


def adopt(draft: CounterFile) -> None:
    """Give a draft the name by which it is found."""
    path = draft.path.with_suffix(".map")
    draft.path.rename(path)
    draft.path = path


def make_draft(directory: Path, generation: int, layout: Layout, reading: Reading, mapper: Mapper) -> CounterFile:
    """Make an empty generation that nobody finds yet. Needs no lock.

    Preallocated, because a full disk under a sparse map kills with SIGBUS.
    """
    draft = directory / f"counters.{generation}.new"
    fd = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        _allocate(fd, layout.size)
        static = at.STATIC.pack(
            at.MAGIC, at.FORMAT, layout.capacity.small, layout.capacity.sliding, layout.capacity.address, generation
        )
        os.pwrite(fd, static + at.STATIC_CRC.pack(zlib.crc32(static)), 0)
        os.pwrite(fd, boot_id(), at.BOOT_AT)
        os.pwrite(fd, at.CLOCK.pack(*reading), at.CLOCK_AT)
        return CounterFile(draft, generation, layout, mapper(fd, layout.size), _inode(os.fstat(fd)), fresh=True)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise StoreUnavailable(f"no room for counters in {directory}: {error}", "disk_full") from error
    finally:
        os.close(fd)


def restore(file: CounterFile) -> bool:
    """Put back what a holder of the lock was changing when it died; may itself be repeated. True if there was any."""
    dirty = file.map[at.DIRTY_AT]
    if not dirty:
        return False
    stride = at.UNDO_STRIDE if dirty & at.WHOLE else at.HEAD_SIZE
    for slot in range(dirty & at.COUNT_MASK):
        undo = at.UNDO_AT + slot * stride
        offset = int.from_bytes(file.map[undo + 16 : undo + 20], "little")
        region = file.layout.region_at(offset)
        if region is not None:
            size = region.size if dirty & at.WHOLE else at.HEAD_SIZE
            file.map[offset : offset + size] = file.map[undo : undo + size]
            _, _, algorithm, _, newest, *_ = at.HEAD.unpack_from(file.map, undo)
            if algorithm == Algorithm.SLIDING:  # its newest sub-bucket's own cell may have been written already
                cell = offset + at.CELLS_AT + newest % CELLS * at.CELL.size
                file.map[cell : cell + at.CELL.size] = bytes(at.CELL.size)
    journal = file.map[at.UNDO_JOURNAL_AT : at.UNDO_JOURNAL_AT + at.JOURNAL.size]
    offset = int.from_bytes(journal[-4:], "little")
    if at.JOURNAL_AT <= offset < at.ENTRIES_AT and (offset - at.JOURNAL_AT) % at.JOURNAL_STRIDE == 0:
        file.map[offset : offset + len(journal)] = journal
    file.map[at.DIRTY_AT] = 0
    return True


def _inode(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _allocate(fd: int, size: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(fd, 0, size)
        return
    block = bytes(1 << 20)  # macOS: writing is the only way to be sure
    for start in range(0, size, len(block)):
        os.pwrite(fd, block[: min(len(block), size - start)], start)


def _map(path: Path, generation: int, mapper: Mapper) -> CounterFile:
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        head = os.pread(fd, at.STATIC.size + at.STATIC_CRC.size, 0)
        if len(head) < at.STATIC.size + at.STATIC_CRC.size:
            raise _UnusableError("it is too short")
        static, crc = head[: at.STATIC.size], head[at.STATIC.size :]
        magic, version, small, sliding, address, stated = at.STATIC.unpack(static)
        if magic != at.MAGIC:
            raise _UnusableError("it is no counter file")
        if version != at.FORMAT:
            raise _UnusableError(f"its format is {version}; this version reads {at.FORMAT}")
        if at.STATIC_CRC.unpack(crc)[0] != zlib.crc32(static) or stated != generation:
            raise _UnusableError("its header is damaged")
        try:
            layout = Layout(Capacity(small, sliding, address))
        except ValueError as error:
            raise _UnusableError(str(error)) from error
        if os.fstat(fd).st_size != layout.size:
            raise _UnusableError("its size is not what its header says")
        return CounterFile(path, generation, layout, mapper(fd, layout.size), _inode(os.fstat(fd)))
    finally:
        os.close(fd)


def _follow_boot(file: CounterFile, clock: Clock) -> None:
    """After another boot the monotonic clock has another origin; time still never goes back."""
    boot = boot_id()
    if file.map[at.BOOT_AT : at.BOOT_AT + 16] == boot:
        return
    file.write_reading(rebase(file.reading()[2], clock.monotonic(), clock.now()))
    file.map[at.BOOT_AT : at.BOOT_AT + 16] = boot
