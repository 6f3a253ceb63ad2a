"""Follows one incarnation from a sequence on: over its segments, along its live tail, and past damage."""

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gateway.spool.files import PRIVATE
from gateway.spool.folder import list_segments, read_header
from gateway.spool.segment import FRAME_HEAD, HEADER_SIZE, READABLE_FORMATS, find_frame, parse_run, seed_of

logger = logging.getLogger(__name__)

CHUNK = 1 << 18
_ZEROS = bytes(CHUNK)

Reason = Literal["frame", "header", "missing", "format"]


@dataclass(frozen=True, slots=True)
class Damage:
    """Entries ``first`` to ``last`` cannot be read; none when ``last`` is ``first - 1`` (a header alone was damaged).

    ``missing``: their segment is gone. ``format``: written by a newer program; reading stops there until this program
    is upgraded. ``file`` holds a copy of the damaged bytes when one could be made.
    """

    incarnation: str
    first: int
    last: int
    reason: Reason
    segment: str = ""
    offset: int = 0
    file: Path | None = None


class Cursor:
    """A place in one incarnation: ``sequence`` is that of the last frame passed, and the next one is at ``offset``."""

    def __init__(self, folder: Path, sequence: int, quarantine: Path, report: list[Damage]) -> None:
        self.sequence = self._wanted = sequence
        self.number = self.offset = 0
        self._folder = folder
        self._quarantine = quarantine
        self._report = report
        self._fd = -1
        self._seed = 0
        self._end = -1  # the offset that a whole look found to be the tail's end
        self.blocked = False

    @property
    def position(self) -> int:
        """The last sequence given: behind it a reader reads on. ``sequence`` may be past damage behind it."""
        return self._wanted

    def next_run(self, limit: int, budget: int) -> list[tuple[int, bytes]]:
        """Some more frames, in order; none when there are no more yet. The first may lie before the place wanted."""
        while not self.blocked and (self._fd >= 0 or self._start()):
            # Asked before reading: once a next segment is there, this one grows no more.
            following = next((item for item in list_segments(self._folder).items() if item[0] > self.number), None)
            if following is None and self._is_at_end():
                break
            data = os.pread(self._fd, CHUNK, self.offset)
            frames, used = parse_run(data, 0, self._seed, self.sequence + 1, limit, budget)
            if frames:
                self.offset += used
                self.sequence = frames[-1][0]
                self._wanted = max(self._wanted, self.sequence)
                return frames
            if not self._advance(data, following):
                break
        return []

    def _is_at_end(self) -> bool:
        """Whether nothing was written since all was blank here: the next frame begins at this very place."""
        return self._end == self.offset and os.pread(self._fd, FRAME_HEAD, self.offset) == _ZEROS[:FRAME_HEAD]

    def _start(self) -> bool:
        """Open the segment that holds the frame behind the place wanted."""
        segments = list_segments(self._folder)
        if not segments:
            return False
        headers = {number: read_header(path) for number, path in segments.items()}
        start = min(segments)
        for number, header in headers.items():
            if header is not None and header.first_sequence <= self._wanted + 1:
                start = number
        header = headers[start]
        if header is not None:
            if header.first_sequence > self._wanted + 1:
                self._note(header.first_sequence - 1, "missing", segments[start])
            self.sequence = header.first_sequence - 1
        elif start == 1:
            self.sequence = 0
        self._open(start, segments[start])
        return not self.blocked

    def _open(self, number: int, path: Path) -> None:
        header = read_header(path)
        if header is None:
            self._note(self.sequence, "header", path)
        elif header.format not in READABLE_FORMATS:
            self._note(self.sequence, "format", path)
            self.blocked = True
            return
        self.close()
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.number, self.offset, self._end = number, HEADER_SIZE, -1
        self._seed = seed_of(self._folder.name, number)

    def _advance(self, data: bytes, following: tuple[int, Path] | None) -> bool:
        """There is no next frame at the offset: find out why. False for "not yet"."""
        if following is None:
            if not _is_blank(data):
                return self._skip_damage(data)
            self._end = self.offset
            return False
        header = read_header(following[1])
        if header is None or header.first_sequence != self.sequence + 1:
            rest = os.pread(self._fd, os.fstat(self._fd).st_size, self.offset)
            if self._skip_damage(rest):
                return True
            if header is not None and header.first_sequence > self.sequence + 1:
                self._note(header.first_sequence - 1, "frame", self._path, rest)
                self.sequence = header.first_sequence - 1
        self._open(*following)
        return True

    def _skip_damage(self, data: bytes) -> bool:
        """Go to the next whole frame in ``data``. A frame that is still being written has none behind it."""
        found = find_frame(data, 0, self._seed, self.sequence + 1)
        if found is None:
            return False
        place, sequence = found
        # The writer may have finished this very frame while the chunk was read, and the next one too: look again.
        again = os.pread(self._fd, CHUNK, self.offset)
        if not parse_run(again, 0, self._seed, self.sequence + 1, 1, 1)[0]:
            if sequence > self.sequence + 1:
                self._note(sequence - 1, "frame", self._path, data[:place])
            self.sequence = sequence - 1
            self.offset += place
        return True

    @property
    def _path(self) -> Path:
        return list_segments(self._folder).get(self.number, self._folder)

    def _note(self, last: int, reason: Reason, path: Path, data: bytes = b"") -> None:
        """Report what lies behind the place wanted; what was acknowledged long ago is nobody's loss."""
        first = max(self.sequence, self._wanted) + 1
        if last < first and reason == "frame":
            return
        file = self._set_aside(path, data) if data else None
        damage = Damage(self._folder.name, first, max(last, first - 1), reason, path.name, self.offset, file)
        logger.error("the spool is damaged", extra={"damage": str(damage)})
        self._report.append(damage)

    def _set_aside(self, path: Path, data: bytes) -> Path | None:
        """Copy the damaged bytes to quarantine, once."""
        target = self._quarantine / f"{self._folder.name}-{path.stem}-{self.offset}.bin"
        try:
            self._quarantine.mkdir(mode=0o700, exist_ok=True)
            fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE)
        except FileExistsError:
            return target
        except OSError:
            logger.exception("the damaged bytes could not be set aside")
            return None
        with os.fdopen(fd, "wb") as file:
            file.write(data.rstrip(b"\0"))
        return target

    def close(self) -> None:
        """Close the segment; reading on would open it again from its start."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _is_blank(data: bytes) -> bool:
    """Whether nothing was ever written here."""
    return data == (_ZEROS if len(data) == CHUNK else bytes(len(data)))
