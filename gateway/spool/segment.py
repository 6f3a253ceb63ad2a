"""The form of a segment: a header, then frames ``{length u32, crc32 u32, sequence u64, payload}`` (SEMANTICS §23).

All numbers are little-endian. Frames start at multiples of eight, so that a reader finds its way again behind damage;
the bytes between two frames mean nothing. Length 0 is the end of what was written: segments are preallocated with
zeros. The CRC covers length, sequence and payload. It starts from a seed of the incarnation and the segment's number,
so that neither old bytes of another file nor a payload shaped like a frame is ever taken for one, and a segment whose
header is damaged is still read.
"""

from dataclasses import dataclass
from struct import Struct
from typing import Final
from zlib import crc32

MAGIC: Final = b"GWSPOOL\n"
FORMAT: Final = 1
READABLE_FORMATS: Final = frozenset({FORMAT})
HEADER_SIZE: Final = 64
FRAME_HEAD: Final = 16
MAX_FRAME: Final = 8192
MAX_PAYLOAD: Final = MAX_FRAME - FRAME_HEAD
SEGMENT_SIZE: Final = 64 << 20
ALIGNMENT: Final = 8

_HEADER: Final = Struct("<8sHxx16sQ")
_HEADER_CRC: Final = Struct("<I")
_FRAME: Final = Struct("<IIQ")
LENGTH_CRC: Final = Struct("<II")
SEQUENCE: Final = Struct("<Q")


@dataclass(frozen=True, slots=True)
class Header:
    """The first 64 bytes. ``first_sequence`` is that of the segment's first frame."""

    host_id: bytes
    first_sequence: int
    format: int = FORMAT

    def pack(self) -> bytes:
        fields = _HEADER.pack(MAGIC, self.format, self.host_id, self.first_sequence)
        return (fields + _HEADER_CRC.pack(crc32(fields))).ljust(HEADER_SIZE, b"\0")


def unpack_header(data: bytes) -> Header | None:
    """The header, or None for damage. A sound header of an unknown format is returned: the caller refuses it."""
    if len(data) < _HEADER.size + _HEADER_CRC.size:
        return None
    magic, version, host_id, first = _HEADER.unpack_from(data)
    (checksum,) = _HEADER_CRC.unpack_from(data, _HEADER.size)
    if magic != MAGIC or checksum != crc32(data[: _HEADER.size]):
        return None
    return Header(host_id, first, version)


def segment_name(number: int) -> str:
    """``00000001.seg`` and on."""
    return f"{number:08d}.seg"


def segment_number(name: str) -> int | None:
    """The number in a segment's file name; None for any other file."""
    stem, _, suffix = name.partition(".")
    return int(stem) if suffix == "seg" and stem.isascii() and stem.isdigit() else None


def seed_of(incarnation: str, number: int) -> int:
    """Where the CRCs of one segment start."""
    return crc32(f"{incarnation}/{number}".encode())


def align(offset: int) -> int:
    """The next place where a frame may start."""
    return (offset + ALIGNMENT - 1) & -ALIGNMENT


def pack_frame(seed: int, sequence: int, payload: bytes) -> bytes:
    """One frame, ready to be written."""
    length = len(payload)
    body = SEQUENCE.pack(sequence) + payload
    return LENGTH_CRC.pack(length, crc32(body, seed ^ length)) + body


def parse_run(
    data: bytes, offset: int, seed: int, sequence: int, limit: int, budget: int
) -> tuple[list[tuple[int, bytes]], int]:
    """The frames from ``offset`` on that are whole and numbered ``sequence``, ``sequence + 1`` … and the offset behind.

    Stops after ``limit`` frames or ``budget`` payload bytes, at the end of ``data``, and at anything else: whether
    that is "not yet" or damage, only the caller can know.
    """
    frames: list[tuple[int, bytes]] = []
    last = len(data) - FRAME_HEAD
    while offset <= last and len(frames) < limit and budget > 0:
        length, checksum, found = _FRAME.unpack_from(data, offset)
        end = offset + FRAME_HEAD + length
        if not 0 < length <= MAX_PAYLOAD or found != sequence or end > len(data):
            break
        body = data[offset + LENGTH_CRC.size : end]
        if crc32(body, seed ^ length) != checksum:
            break
        frames.append((sequence, body[SEQUENCE.size :]))
        budget -= length
        sequence += 1
        offset = align(end)
    return frames, offset


def find_frame(data: bytes, offset: int, seed: int, sequence: int) -> tuple[int, int] | None:
    """The first whole frame at or behind ``offset`` whose sequence is at least ``sequence``: (offset, sequence)."""
    # Nothing but zeros follows the last frame's last byte that is not zero; a payload may itself end in a few zeros.
    end = min(len(data), len(data.rstrip(b"\0")) + MAX_PAYLOAD)
    for place in range(align(offset), end - FRAME_HEAD, ALIGNMENT):
        length, checksum, found = _FRAME.unpack_from(data, place)
        # A frame takes 17 bytes at least, which bounds the sequences that can be there.
        if 0 < length <= MAX_PAYLOAD and sequence <= found <= sequence + (place - offset) // FRAME_HEAD + MAX_GAP:
            body = data[place + LENGTH_CRC.size : place + FRAME_HEAD + length]
            if len(body) == length + SEQUENCE.size and crc32(body, seed ^ length) == checksum:
                return place, found
    return None


MAX_GAP: Final = 1 << 20
"""Sequences that a power loss may have taken from between two frames that are neighbours in the file."""
