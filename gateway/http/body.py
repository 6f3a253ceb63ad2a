"""How long a message's body is: the closed set of framings (RFC 9112 §6.3)."""

import re
from enum import Enum
from typing import Final

from gateway.http.errors import MessageError

_DIGITS: Final = re.compile(rb"[0-9]{1,18}").fullmatch


class Framing(Enum):
    """What ends the body."""

    NONE = "none"
    LENGTH = "length"
    CHUNKED = "chunked"
    CLOSE = "close"


def declared_length(lengths: list[bytes]) -> int | None:
    """The Content-Length, or None. Repeated, signed, listed or absurd lengths are refused, agreeing or not."""
    if not lengths:
        return None
    if len(lengths) > 1 or not _DIGITS(lengths[0]):
        raise MessageError("malformed Content-Length")
    return int(lengths[0])


def is_chunked(codings: list[bytes], lengths: list[bytes], minor_version: int) -> bool:
    """Whether the message is chunked. Any other coding, a length beside it, or HTTP/1.0 is refused (RFC 9112 §6.1)."""
    if not codings:
        return False
    if minor_version == 0:
        raise MessageError("Transfer-Encoding in an HTTP/1.0 message")
    if lengths:
        raise MessageError("both Transfer-Encoding and Content-Length")
    if len(codings) > 1 or codings[0].lower() != b"chunked":
        raise MessageError("unsupported Transfer-Encoding")
    return True
