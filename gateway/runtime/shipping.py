"""Shipping: what the workers appended to the spool goes to the ledger, batch by batch (SEMANTICS §26, §29).

One shipper a host. It holds no state that matters: the ledger's cursors say what is shipped, so it may be killed at
any moment, and a batch sent twice is skipped.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.clock import MINUTE_US, SECOND_US, Clock
from gateway.errors import StoreUnavailable
from gateway.metering.ports import Frame, Position
from gateway.storage.ports import PLATFORM, Scope

logger = logging.getLogger(__name__)

BATCH_FRAMES = 5_000
BATCH_BYTES = 1 << 20
POLL_S = 0.1
POLL_UNDER_LOAD_S = 0.25
"""Under load a batch may grow for a while: a commit costs as much as a hundred rows."""
LOAD_FRAMES = 200
BACKOFF_S = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
MARK_EVERY_US = SECOND_US
DISCARD_EVERY_US = MINUTE_US
LOOK_EVERY_US = SECOND_US


class SpoolDamage(Protocol):
    """Entries ``first`` to ``last`` of an incarnation that cannot be read, and why."""

    @property
    def incarnation(self) -> str: ...
    @property
    def first(self) -> int: ...
    @property
    def last(self) -> int: ...
    @property
    def reason(self) -> str: ...
    @property
    def segment(self) -> str: ...
    @property
    def offset(self) -> int: ...


class Spool(Protocol):
    """What the shipper asks of the spool's reader."""

    def incarnations(self) -> list[str]: ...
    def read(self, position: Position, limit: int, max_bytes: int = ...) -> list[Frame]: ...
    def take_damage(self) -> Sequence[SpoolDamage]: ...
    def crowded(self, most_bytes: int) -> bool: ...
    def discard(
        self, acknowledged: Mapping[str, int], keep_us: int, now_us: int, unrecovered: Collection[str] = ...
    ) -> int: ...


class Ledger(Protocol):
    """What the shipper asks of the ledger."""

    async def post(self, incarnation: str, frames: Sequence[Frame]) -> int: ...
    async def skip(self, incarnation: str, first: int, last: int, reason: str) -> int: ...
    async def cursors(self, scope: Scope) -> dict[str, int]: ...
    async def mark_host(self, scope: Scope, host: str, complete_until_us: int, now_us: int) -> None: ...


@dataclass(slots=True)
class ShippingState:
    """How the shipper is doing, for metrics and readiness. ``failing_since_us`` is 0 while the store answers.

    ``behind``: the last pass left entries that were in the spool already. ``lost``: entries that the spool could not
    give, since this shipper started. ``caught_up_us``: when a pass last left nothing.
    """

    shipped: int = 0
    lost: int = 0
    behind: bool = False
    caught_up_us: int = 0
    complete_until_us: int = 0
    failing_since_us: int = 0
    error: str = ""


def no_open_call() -> int | None:
    """For a host without workers."""
    return None


def no_table() -> Collection[str]:
    """For a host without in-flight tables."""
    return ()


class Shipper:
    """Ships one host's spool.

    ``oldest_open`` tells when the oldest call that a worker is in the middle of began, or last made a checkpoint;
    ``unrecovered`` the incarnations whose in-flight tables are still there. ``keep_us`` is how long acknowledged
    segments stay, unless the spool is larger than ``keep_bytes`` or the disk is nearly full: then the oldest
    go earlier, so that what is shipped never takes the room of what is not.
    """

    def __init__(
        self,
        spool: Spool,
        ledger: Ledger,
        clock: Clock,
        host: str,
        keep_us: int,
        keep_bytes: int,
        oldest_open: Callable[[], int | None] = no_open_call,
        unrecovered: Callable[[], Collection[str]] = no_table,
    ) -> None:
        self.state = ShippingState()
        self._spool = spool
        self._ledger = ledger
        self._clock = clock
        self._host = host
        self._keep_us = keep_us
        self._keep_bytes = keep_bytes
        self._oldest_open = oldest_open
        self._unrecovered = unrecovered
        self._cursors: dict[str, int] | None = None
        self._damage: list[SpoolDamage] = []
        self._mark_next_us = 0
        self._discarded_us = clock.monotonic()

    async def run(self, stop: asyncio.Event) -> None:
        """Ship until told to stop, then ship what is left. The store may be away for as long as it likes."""
        failures = 0
        while not stop.is_set():
            try:
                shipped = await self.ship_once()
            except StoreUnavailable as error:
                self.failed(error)
                await _pause(stop, BACKOFF_S[min(failures, len(BACKOFF_S) - 1)])
                failures += 1
                continue
            if failures:
                logger.info("the store answers again; shipping goes on", extra={"failures": failures})
            failures = 0
            self.state.failing_since_us, self.state.error = 0, ""
            if not self.state.behind:
                await _pause(stop, POLL_S if shipped < LOAD_FRAMES else POLL_UNDER_LOAD_S)
        with contextlib.suppress(StoreUnavailable):  # the next start ships it
            await self.ship_once()

    def caught_up(self) -> int:
        """When everything that was in the spool was last in the ledger."""
        return self.state.caught_up_us

    async def ship_once(self) -> int:
        """One pass over all incarnations, to the end of each unless it is far behind; returns the entries shipped.

        Raises ``StoreUnavailable``; what was shipped before stays shipped.
        """
        if self._cursors is None:
            self._cursors = await self._ledger.cursors(PLATFORM)
        # Taken before reading: every call that ended before this instant is in the spool already, every other one
        # is open or begins later.
        now_us = self._clock.now()
        mark = self._clock.monotonic() >= self._mark_next_us
        complete_us = min(now_us, self._oldest_open() or now_us) if mark else 0
        shipped, caught_up = 0, True
        for incarnation in self._spool.incarnations():
            count, full = await self._ship_batch(incarnation, self._cursors)
            shipped += count
            caught_up &= not full
        self.state.shipped += shipped
        self.state.behind = not caught_up
        if caught_up:
            self.state.caught_up_us = now_us
            if complete_us > self.state.complete_until_us:
                await self._mark(complete_us, now_us)
        await self._discard(now_us)
        return shipped

    async def _ship_batch(self, incarnation: str, cursors: dict[str, int]) -> tuple[int, bool]:
        """Ship one batch of an incarnation: how many entries, and whether there may be more."""
        cursor = cursors.get(incarnation, 0)
        frames = self._spool.read(Position(incarnation, cursor), BATCH_FRAMES, BATCH_BYTES)
        if not frames:
            return 0, False
        lost = lost_before(frames, cursor)
        if lost > cursor:
            cursors[incarnation] = await self._give_up(incarnation, cursor + 1, lost)
            return 0, True
        whole = unbroken(frames)
        cursors[incarnation] = await self._ledger.post(incarnation, whole)
        size = sum(len(frame.payload) for frame in frames)
        full = len(frames) >= BATCH_FRAMES or size >= BATCH_BYTES or len(whole) < len(frames)
        # The cursor stands elsewhere when another shipper was here, or the ledger was restored from a backup.
        moved_on = cursors[incarnation] == whole[-1].position.sequence
        return len(whole) if moved_on else 0, full or not moved_on

    async def _give_up(self, incarnation: str, first: int, last: int) -> int:
        self._damage += self._spool.take_damage()
        met = next((one for one in self._damage if one.incarnation == incarnation and one.first <= last), None)
        why = f": {met.reason} in {met.segment} at {met.offset}" if met is not None else ""
        facts = {"incarnation": incarnation, "first": first, "last": last}
        logger.error("entries of the spool are lost; reconcile will show them" + why, extra=facts)
        cursor = await self._ledger.skip(incarnation, first, last, "lost from the spool" + why)
        self._damage = [one for one in self._damage if one.incarnation != incarnation or one.last > last]
        self.state.lost += last - first + 1
        return cursor

    async def _mark(self, complete_us: int, now_us: int) -> None:
        await self._ledger.mark_host(PLATFORM, self._host, complete_us, now_us)
        self.state.complete_until_us = complete_us
        self._mark_next_us = self._clock.monotonic() + MARK_EVERY_US

    async def _discard(self, now_us: int) -> None:
        since_us = self._clock.monotonic() - self._discarded_us
        if since_us < LOOK_EVERY_US or (since_us < DISCARD_EVERY_US and not self._spool.crowded(self._keep_bytes)):
            return
        self._discarded_us = self._clock.monotonic()
        # Asked again: a ledger restored from a backup stands further back, and needs what would be deleted.
        self._cursors = await self._ledger.cursors(PLATFORM)
        for damage in self._spool.take_damage():  # a header alone, or a segment of a newer format: nothing is lost
            logger.warning("the spool is damaged", extra={"damage": str(damage)})
        keep_us, unrecovered = self._keep_us, self._unrecovered()
        try:
            self._spool.discard(self._cursors, keep_us, now_us, unrecovered)
            while keep_us and self._spool.crowded(self._keep_bytes):
                keep_us = keep_us // 2 if keep_us > SECOND_US else 0
                self._spool.discard(self._cursors, keep_us, now_us, unrecovered)
        except OSError as error:
            logger.warning("old segments could not be deleted", extra={"error": str(error)})

    def failed(self, error: StoreUnavailable) -> None:
        """Note that the store does not answer; said in the log once."""
        if not self.state.failing_since_us:
            self.state.failing_since_us = self._clock.now()
            logger.warning("the store does not answer; records wait in the spool", extra={"error": str(error)})
        self.state.error = str(error)


def unbroken(frames: Sequence[Frame]) -> Sequence[Frame]:
    """The frames up to the first gap, or the first entry that is damaged: its frame is empty."""
    first = frames[0].position.sequence
    for place, frame in enumerate(frames):
        if frame.position.sequence != first + place or not frame.payload:
            return frames[:place]
    return frames


def lost_before(frames: Sequence[Frame], cursor: int) -> int:
    """The last entry of the stretch right behind ``cursor`` that is not there or damaged; ``cursor`` without one."""
    for frame in frames:
        if frame.payload:
            return max(cursor, frame.position.sequence - 1)
    return frames[-1].position.sequence


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)
