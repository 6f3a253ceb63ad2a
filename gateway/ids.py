"""Identifiers: UUIDv7 (RFC 9562 §5.7) as 16 bytes, and their public form ``prefix_<base32>``."""

import base64
import os

ID_BYTES = 16


def uuid7(now_us: int) -> bytes:
    """A new UUIDv7 whose 48-bit timestamp is ``now_us`` in milliseconds; the other 74 bits are random."""
    random = bytearray(os.urandom(10))
    random[0] = 0x70 | (random[0] & 0x0F)
    random[2] = 0x80 | (random[2] & 0x3F)
    return (now_us // 1000).to_bytes(6, "big") + bytes(random)


def uuid7_time_us(value: bytes) -> int:
    """The instant in a UUIDv7, in microseconds, to the millisecond."""
    return int.from_bytes(value[:6], "big") * 1000


def format_id(prefix: str, value: bytes) -> str:
    """``ten_…``: RFC 4648 base32 in lower case, unpadded, 26 characters after the prefix."""
    return f"{prefix}_{base64.b32encode(value).decode().rstrip('=').lower()}"


_last = (0, 0)


def new_id(prefix: str, now_us: int) -> str:
    """A new public id. Ids that one process makes in one millisecond are in the order in which they were made
    (RFC 9562 §6.2, method 2), so that a list by id is a list by time."""
    global _last
    at_ms = now_us // 1000
    made_ms, random = _last
    if at_ms == made_ms:
        random += 1 + int.from_bytes(os.urandom(4), "big")
    else:
        random = int.from_bytes(os.urandom(10), "big") >> 7  # 73 of 74 bits: room to count up
    _last = (at_ms, random)
    head, tail = random >> 62, random & ((1 << 62) - 1)
    value = at_ms << 80 | 0x7 << 76 | head << 64 | 0b10 << 62 | tail
    return format_id(prefix, value.to_bytes(ID_BYTES, "big"))


def parse_id(prefix: str, text: str) -> bytes:
    """The 16 bytes behind a public id; raises ``ValueError`` for any other text."""
    head, _, body = text.partition("_")
    if head != prefix or len(body) != 26:
        raise ValueError(f"not a {prefix}_ id")
    try:
        return base64.b32decode(body.upper() + "======")
    except ValueError:
        raise ValueError(f"not a {prefix}_ id") from None
