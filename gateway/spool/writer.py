"""The spool as a worker uses it: appends records, knows whether there is room, and keeps itself durable in a thread."""

import asyncio
import contextlib
import logging
import os
from collections import deque
from pathlib import Path
from threading import Event, Thread
from typing import Final, Protocol

from gateway.clock import Clock
from gateway.errors import StoreUnavailable
from gateway.metering.ports import UsageSpool
from gateway.metering.record import SpoolEntry, encode
from gateway.spool.appender import Appender
from gateway.spool.files import open_locked_directory, sync_directory
from gateway.spool.fitting import encode_within
from gateway.spool.folder import total_size
from gateway.spool.segment import ALIGNMENT, HEADER_SIZE, MAX_FRAME, MAX_PAYLOAD, SEGMENT_SIZE

logger = logging.getLogger(__name__)

UPKEEP_SECONDS: Final = 1.0
MIN_SEGMENT: Final = HEADER_SIZE + 4 * MAX_FRAME
_encode: Final = encode
_MOST_CALLS: Final = 4096
ALARM: Final = 0.8


class Tally(Protocol):
    """One word that outlives the process: how many frames were appended (SEMANTICS §30)."""

    def __setitem__(self, index: int, value: int, /) -> None: ...


class SpoolWriter:
    """``spool/<incarnation>/``, written by one worker for its life; holds the directory's lock.

    ``appended`` is the last sequence, ``synced`` the last that survives a power loss, ``synced_at_us`` when that was
    last made sure of. ``spool_bytes`` is the size of all incarnations' files, at most a second old.
    """

    def __init__(
        self, folder: Path, appender: Appender, lock: int, *, fsync: str, max_size: int, segment_size: int,
        clock: Clock, tally: Tally,
    ) -> None:  # fmt: skip
        self.incarnation = folder.name
        self.appended = 0
        self.synced = 0
        self.synced_at_us = clock.now()
        self.spool_bytes = 0
        self.max_size = max_size
        self._appender = appender
        self._append = appender.append
        self._root = folder.parent
        self._lock = lock
        self._always = fsync == "always"
        self._clock = clock
        self._tally = tally
        # SEMANTICS §25: one record of the largest size is set aside for each call that can be in flight.
        self._set_aside = min(segment_size // 2, _MOST_CALLS * MAX_FRAME)
        self._segment_size = segment_size
        self._failed = self._refused = self._warned = False
        self._waiters: deque[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = deque()
        self._wake = Event()
        appender.on_roll = self._wake.set
        self._closing = False
        self._upkeep()
        self._upkeeper = Thread(target=self._run, name=f"spool-{folder.name}", daemon=True)
        self._upkeeper.start()

    @classmethod
    def create(
        cls,
        directory: Path,
        incarnation: str,
        host_id: bytes,
        *,
        fsync: str,
        max_size: int,
        clock: Clock,
        segment_size: int = SEGMENT_SIZE,
        tally: Tally | None = None,
        workers: int = 1,
    ) -> "SpoolWriter":
        """Start a new incarnation. ``fsync`` is ``interval`` or ``always``; sizes are bytes.

        Segments are made smaller where ``max_size`` would not hold eight for each of ``workers``: a worker needs
        three even when everything is shipped. Raises ``OSError``, and
        ``FileExistsError`` for an incarnation that was there before.
        """
        segment_size = max(MIN_SEGMENT, min(segment_size, max_size // (8 * workers))) // ALIGNMENT * ALIGNMENT
        folder = directory / incarnation
        if folder.exists():
            raise FileExistsError(f"{folder} is there already")
        # Locked before it has its name: nobody takes it for a dead one.
        unnamed = directory / f".{incarnation}.new"
        unnamed.mkdir(mode=0o700, parents=True)
        lock = open_locked_directory(unnamed)
        if lock is None:
            raise StoreUnavailable(f"{unnamed} is locked by another process", reason="spool_locked")
        unnamed.rename(folder)
        try:
            appender = Appender(folder, host_id, segment_size)
            sync_directory(directory)
        except OSError:
            os.close(lock)
            raise
        return cls(
            folder, appender, lock, fsync=fsync, max_size=max_size, segment_size=segment_size, clock=clock,
            tally=[0] if tally is None else tally,
        )  # fmt: skip

    def append(self, entry: SpoolEntry) -> int:
        """Write one entry and return its sequence; raises ``OSError``: then nothing was appended."""
        payload = _encode(entry)
        if len(payload) > MAX_PAYLOAD:
            payload = encode_within(entry, MAX_PAYLOAD)
        try:
            self.appended = sequence = self._append(payload)
        except OSError:
            self._refused = True
            raise
        self._tally[0] = sequence
        if self._refused:
            self._refused = False
        return sequence

    def has_room(self) -> bool:
        """Whether every call that may be in flight, and one more, finds room for a record of the largest size.

        After an append that the disk did not take there is none until one succeeds: those that wait are tried again.
        """
        return self._appender.room >= self._set_aside and not (self._failed or self._refused)

    def fill(self) -> float:
        """How full the spool is, 0 to 1, for the alarm before ``max_size`` is reached."""
        return self.spool_bytes / self.max_size

    def _warn(self) -> None:
        """Say so long before calls are refused, once each time that it comes to that."""
        before, self._warned = self._warned, self.fill() >= ALARM
        if self._warned and not before:
            facts = {"bytes": self.spool_bytes, "max_size": self.max_size}
            logger.error("the spool fills up: the store takes no records, or too few", extra=facts)

    def sync(self) -> None:
        """Make all that was appended survive a power loss. Raises ``OSError``."""
        self.synced = self._appender.sync()
        self.synced_at_us = self._clock.now()

    async def wait_synced(self, sequence: int) -> None:
        """With ``fsync: always``, wait until the entry survives a power loss; calls that wait together share one sync.

        With ``interval`` it returns at once. Raises ``OSError`` when the disk failed.
        """
        while self._always and self.synced < sequence:
            loop = asyncio.get_running_loop()
            waiter: asyncio.Future[None] = loop.create_future()
            self._waiters.append((loop, waiter))
            self._wake.set()
            await waiter

    def close(self) -> None:
        """Sync, give back what was preallocated and not used, and let go of the lock; once."""
        if self._closing:
            return
        self._closing = True
        self._wake.set()
        self._upkeeper.join()
        self._upkeep()
        try:
            self._appender.close()
        finally:
            os.close(self._lock)

    def _run(self) -> None:
        while not self._closing:
            self._wake.wait(UPKEEP_SECONDS)
            self._wake.clear()
            self._upkeep()

    def _upkeep(self) -> None:
        """One round: sync what is new, answer who waits, and have the next segment ready if the limit allows it."""
        waiters = [self._waiters.popleft() for _ in range(len(self._waiters))]
        error: OSError | None = None
        try:
            if self.synced < self._appender.sequence or waiters:
                self.sync()
            self._failed = False
        except OSError as failure:
            # After a failed sync the kernel forgets the pages: what was lost shows as damage, and new calls wait for a
            # sync that succeeds.
            self._failed, error = True, failure
            logger.error(
                "the spool could not be synced", extra={"incarnation": self.incarnation, "error": str(failure)}
            )
        for loop, waiter in waiters:
            with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits any more
                loop.call_soon_threadsafe(_answer, waiter, error)
        try:
            self.spool_bytes = total_size(self._root)
            self._warn()
            if self.spool_bytes + self._segment_size <= self.max_size:
                self._appender.prepare_spare()
        except OSError as failure:
            logger.warning("no room for the next segment", extra={"error": str(failure)})


def _answer(waiter: "asyncio.Future[None]", error: OSError | None) -> None:
    if waiter.done():
        return
    if error is None:
        waiter.set_result(None)
    else:
        waiter.set_exception(error)


def _conforms(writer: SpoolWriter) -> UsageSpool:
    return writer
