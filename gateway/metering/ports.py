"""The port through which call records leave a worker (SEMANTICS §23–26)."""

from typing import Protocol

import msgspec

from gateway.metering.record import SpoolEntry


class Position(msgspec.Struct, frozen=True, order=True, gc=False):
    """A place in the spool: entries of one incarnation are numbered 1, 2, 3 … without a gap."""

    incarnation: str
    sequence: int


class Frame(msgspec.Struct, frozen=True, gc=False):
    """One entry as read back, with its place and its packed form. Made by the thousand: msgspec makes it in C."""

    position: Position
    payload: bytes


class UsageSpool(Protocol):
    """Append-only and local. ``append`` returns once the entry survives ``kill -9`` of every process."""

    def append(self, entry: SpoolEntry) -> int:
        """Write one entry and return its sequence; raises ``OSError`` when the disk fails."""
        ...

    def has_room(self) -> bool:
        """Whether one more record of the largest size fits; admission asks before it admits (SEMANTICS §25)."""
        ...
