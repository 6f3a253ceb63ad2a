"""The Date of an answer that the gateway makes itself; an upstream's own passes unchanged (RFC 9110 §6.6.1)."""

from email.utils import formatdate
from functools import lru_cache


def date_line(now_us: int) -> bytes:
    """``Date: Sun, 06 Nov 1994 08:49:37 GMT`` with its CRLF, for an instant in microseconds since the epoch."""
    return _line(now_us // 1_000_000)


@lru_cache(maxsize=2)
def _line(seconds: int) -> bytes:
    return b"Date: %b\r\n" % formatdate(seconds, usegmt=True).encode()
