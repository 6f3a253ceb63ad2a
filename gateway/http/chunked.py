"""The chunked transfer coding (RFC 9112 §7.1): a strict decoder fed with any segmentation, and the encoder's frames."""

import re
from typing import Final

from gateway.http.errors import MessageError
from gateway.http.fields import TOKEN, Pairs, parse_fields

_QUOTED: Final = rb'"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*"'
_EXTENSION: Final = rb"[ \t]*;[ \t]*" + TOKEN + rb"(?:[ \t]*=[ \t]*(?:" + TOKEN + rb"|" + _QUOTED + rb"))?"
_SIZE_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,15})(?:" + _EXTENSION + rb")*\r\n").fullmatch

MAX_SIZE_LINE: Final = 1024
MAX_TRAILERS: Final = 16 * 1024
LAST_CHUNK: Final = b"0\r\n\r\n"

_SIZE, _DATA, _DATA_END, _TRAILERS, _DONE = range(5)


class ChunkedDecoder:
    """Feeds on the bytes after a head. After ``done``, ``rest`` holds what follows the message."""

    __slots__ = ("_buffer", "_remaining", "_state", "rest", "trailers")

    def __init__(self) -> None:
        self._state = _SIZE
        self._remaining = 0
        self._buffer = b""
        self.trailers: Pairs = []
        self.rest = b""

    @property
    def done(self) -> bool:
        return self._state == _DONE

    def feed(self, data: bytes) -> bytes:
        """The body bytes that are in ``data``; raises ``MessageError`` for anything outside the grammar."""
        if self._state == _DATA and len(data) < self._remaining:
            self._remaining -= len(data)
            return data
        data = self._buffer + data
        self._buffer = b""
        out: list[bytes] = []
        position = 0
        while self._state != _DONE:
            if self._state == _DATA:
                piece = data[position : position + self._remaining]
                out.append(piece)
                position += len(piece)
                self._remaining -= len(piece)
                if self._remaining:
                    break
                self._state = _DATA_END
                continue
            step = self._line(data, position)
            if step < 0:
                self._buffer = data[position:]
                break
            position = step
        if self._state == _DONE:
            self.rest = data[position:]
        return out[0] if len(out) == 1 else b"".join(out)

    def _line(self, data: bytes, position: int) -> int:
        """Take one line of framing at ``position``; the position behind it, or -1 when it is not all there yet."""
        if self._state == _DATA_END:
            ending = data[position : position + 2]
            if ending != b"\r\n"[: len(ending)]:
                raise MessageError("chunk data not followed by CRLF")
            if len(ending) < 2:
                return -1
            self._state = _SIZE
            return position + 2
        return self._size_line(data, position) if self._state == _SIZE else self._trailer_section(data, position)

    def _size_line(self, data: bytes, position: int) -> int:
        end = data.find(b"\n", position) + 1
        if not end:
            if len(data) - position > MAX_SIZE_LINE:
                raise MessageError("chunk size line too long")
            return -1
        matched = _SIZE_LINE(data[position:end]) if end - position <= MAX_SIZE_LINE else None
        if not matched:
            raise MessageError("malformed chunk size")
        self._remaining = int(matched[1], 16)
        self._state = _DATA if self._remaining else _TRAILERS
        return end

    def _trailer_section(self, data: bytes, position: int) -> int:
        if data.startswith(b"\r\n", position):
            self._state = _DONE
            return position + 2
        end = data.find(b"\r\n\r\n", position)
        if end < 0:
            if len(data) - position > MAX_TRAILERS:
                raise MessageError("trailers too large", 431, "header_too_large")
            return -1
        self.trailers = parse_fields(data[position : end + 2])
        self._state = _DONE
        return end + 4


def chunk(data: bytes) -> bytes:
    """``data`` as one chunk; it must not be empty, for an empty chunk ends the body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def last_chunk(trailers: bytes) -> bytes:
    """The end of a chunked body with its trailer section (lines with their CRLF)."""
    return b"0\r\n%b\r\n" % trailers
