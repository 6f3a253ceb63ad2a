"""Call ids (UUIDv7) at a third of the price: randomness is fetched from the kernel for 400 ids at once."""

import os
from typing import Final

_BATCH: Final = 4000
_TAIL: Final = 10  # bytes of an id behind its 48 bits of milliseconds
_VERSION: Final = bytes(byte & 0x0F | 0x70 for byte in range(256))
_VARIANT: Final = bytes(byte & 0x3F | 0x80 for byte in range(256))


class CallIds:
    """A source of ids for one worker."""

    def __init__(self) -> None:
        self._random = b""
        self._position = 0

    def new(self, now_us: int) -> bytes:
        """RFC 9562 §5.7, as ``gateway.ids.uuid7``: 48 bits of milliseconds, version, 12 bits, variant, 62 bits."""
        position = self._position
        if position >= len(self._random):
            self._random = _tails(os.urandom(_BATCH))
            position = 0
        self._position = end = position + _TAIL
        return (now_us // 1000).to_bytes(6, "big") + self._random[position:end]


def _tails(random: bytes) -> bytes:
    """Version and variant put into the random tails of many ids at once."""
    tails = bytearray(random)
    tails[0::_TAIL] = tails[0::_TAIL].translate(_VERSION)
    tails[2::_TAIL] = tails[2::_TAIL].translate(_VARIANT)
    return bytes(tails)
