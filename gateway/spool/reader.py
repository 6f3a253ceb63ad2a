"""Reads the spool: every incarnation, from any position, along its tail; and deletes what was acknowledged."""

import os
from collections.abc import Collection, Mapping
from pathlib import Path

from gateway.errors import GatewayError
from gateway.metering.ports import Frame, Position
from gateway.spool.appender import Tail
from gateway.spool.cursor import Cursor, Damage
from gateway.spool.discard import discard
from gateway.spool.folder import QUARANTINE, list_incarnations, total_size

READ_BYTES = 1 << 20


class SpoolReader:
    """All incarnations in one host's spool directory. Any number of readers may read at once; one discards.

    Bytes that are damaged are copied to ``quarantine/`` in the spool directory, once, and told by ``take_damage``.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._cursors: dict[str, Cursor] = {}
        self._damage: list[Damage] = []

    def incarnations(self) -> list[str]:
        """The incarnations that have anything on disk, sorted."""
        return list_incarnations(self._directory) if self._directory.is_dir() else []

    def read(self, position: Position, limit: int, max_bytes: int = READ_BYTES) -> list[Frame]:
        """Up to ``limit`` frames behind ``position``, of about ``max_bytes`` in all; none when there are no more yet.

        Reading on from where the incarnation's last read ended costs no search. The sequences have no gap: an entry
        that is damaged or missing comes as a frame with an empty payload, and ``take_damage`` tells why.
        """
        name = position.incarnation
        cursor = self._cursor_at(position)
        frames: list[Frame] = []
        size, last = 0, position.sequence
        while len(frames) < limit and size < max_bytes:
            run = cursor.next_run(limit - len(frames), max_bytes - size)
            if not run:
                break
            if run[0][0] > last + 1:
                frames += [Frame(Position(name, lost), b"") for lost in range(last + 1, run[0][0])]
            # Frames before the place wanted cost nothing: a new cursor passes the start of its segment first.
            wanted = [item for item in run if item[0] > last]
            frames += [Frame(Position(name, sequence), payload) for sequence, payload in wanted]
            size += sum(len(payload) for _, payload in wanted)
            last = max(last, run[-1][0])
        return frames[:limit]

    def _cursor_at(self, position: Position) -> Cursor:
        name = position.incarnation
        cursor = self._cursors.get(name)
        if cursor is None or cursor.position != position.sequence:
            if cursor is not None:
                cursor.close()
            cursor = Cursor(self._directory / name, position.sequence, self._directory / QUARANTINE, self._damage)
            self._cursors[name] = cursor
        return cursor

    def tail(self, incarnation: str, sequence: int = 0) -> Tail:
        """Where an incarnation ends that nobody writes any more, looked for from behind ``sequence``.

        Raises ``GatewayError`` when a newer program wrote it: this one must not append.
        """
        while frames := self.read(Position(incarnation, sequence), 10_000):
            sequence = frames[-1].position.sequence
        cursor = self._cursors[incarnation]
        if cursor.blocked:
            raise GatewayError(f"spool {incarnation} was written by a newer gateway; upgrade this one")
        return Tail(cursor.number, cursor.offset, cursor.sequence)

    def crowded(self, most_bytes: int) -> bool:
        """Whether all files are larger than that, or the disk has less than half of that left for more."""
        try:
            disk = os.statvfs(self._directory)
            return disk.f_bavail * disk.f_frsize < most_bytes // 2 or total_size(self._directory) > most_bytes
        except FileNotFoundError:
            return False

    def take_damage(self) -> list[Damage]:
        """The damage met since this was last asked. A reader that starts over meets it again."""
        met, self._damage[:] = self._damage[:], []
        return met

    def discard(
        self, acknowledged: Mapping[str, int], keep_us: int, now_us: int, unrecovered: Collection[str] = ()
    ) -> int:
        """Delete the segments acknowledged ``keep_us`` ago or longer; returns how many went.

        ``acknowledged`` holds the sequence that the ledger's cursor of each incarnation stands at. ``unrecovered``
        names the incarnations that have an in-flight table (``tables.list_tables``): nothing of a dead one
        goes before its recovery, which looks for records here. A dead incarnation's directory goes with its last
        segment.
        """
        gone = discard(self._directory, acknowledged, keep_us, now_us, unrecovered)
        for name in self._cursors.keys() - set(self.incarnations()):
            self._cursors.pop(name).close()
        return gone

    def close(self) -> None:
        """Close every descriptor."""
        for cursor in self._cursors.values():
            cursor.close()
        self._cursors.clear()
