"""API keys as text: ``gk_live_<id>_<secret><crc>`` (CONTRACT, Keys), and what may be looked up at all.

``id`` is 11 base62 characters and no secret, ``secret`` is 160 random bits in 27, ``crc`` the CRC-32 of everything
before it in 6. Whatever else has 16 to 256 printable characters may be a key that a customer brought along.
The store and the workers know a key by the SHA-256 of its text alone: 160 random bits need no slow hash, and looking
up a digest tells an attacker nothing by its timing, since he can't choose digests.
"""

import hashlib
import os
import re
import zlib
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from gateway.ids import format_id, uuid7

PREFIX: Final = "gk_live_"
RESERVED: Final = b"gk_test_"
MIN_LENGTH, MAX_LENGTH = 16, 256
SECRET_BYTES: Final = 20
ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_LIVE: Final = PREFIX.encode()
_SHAPE: Final = re.compile(rb"gk_live_[0-9A-Za-z]{11}_[0-9A-Za-z]{33}", re.ASCII)
_OTHER: Final = re.compile(rb"[\x21-\x7e]{16,256}")
_PAIRS: Final = tuple((first + second).encode() for first in ALPHABET for second in ALPHABET)


class Refusal(Enum):
    """Why a credential is refused before any look-up. The value is for people; it tells nothing about the key."""

    MALFORMED = "a credential is 16 to 256 printable characters"
    TYPO = "the key is mistyped: its checksum does not match"
    RESERVED = "keys that start with gk_test_ are reserved"


@dataclass(frozen=True)
class MintedKey:
    """A new key. ``text`` is shown once and kept nowhere; ``hint`` may be shown for ever."""

    text: str = field(repr=False)
    id: str
    hash: bytes
    hint: str


def mint(now_us: int) -> MintedKey:
    """Make a key; its id carries the time, to the millisecond."""
    identity = uuid7(now_us)
    public = _base62(int.from_bytes(identity[8:], "big"), 11)
    secret = _base62(int.from_bytes(os.urandom(SECRET_BYTES), "big"), 27)
    body = f"{PREFIX}{public}_{secret}".encode()
    text = body + _checksum(body)
    return MintedKey(text.decode(), format_id("key", identity), digest(text), hint_of(text))


def classify(credential: bytes) -> bytes | Refusal:
    """The digest to look a credential up by, or why it can't be a key."""
    if credential.startswith(_LIVE):
        if not _SHAPE.fullmatch(credential) or _checksum(credential[:-6]) != credential[-6:]:
            return Refusal.TYPO
    elif not _OTHER.fullmatch(credential):
        return Refusal.MALFORMED
    elif credential.startswith(RESERVED):
        return Refusal.RESERVED
    return hashlib.sha256(credential).digest()


def digest(credential: bytes) -> bytes:
    """The 32 bytes that a key is known by."""
    return hashlib.sha256(credential).digest()


def hint_of(credential: bytes) -> str:
    """What may be shown of a key: the public part of ours, four characters of another if it is long."""
    if _SHAPE.fullmatch(credential):
        return credential[: len(_LIVE) + 11].decode() + "…"
    return (credential[:4].decode("ascii", "replace") if len(credential) >= 24 else "") + "…"


def _checksum(body: bytes) -> bytes:
    """CRC-32 in six base62 digits, two at a time (this is in the way of every call)."""
    high, low = divmod(zlib.crc32(body), 3844)
    high, middle = divmod(high, 3844)
    return _PAIRS[high] + _PAIRS[middle] + _PAIRS[low]


def _base62(number: int, width: int) -> str:
    digits = []
    for _ in range(width):
        number, digit = divmod(number, 62)
        digits.append(ALPHABET[digit])
    return "".join(reversed(digits))
