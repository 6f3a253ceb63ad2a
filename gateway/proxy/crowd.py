"""How many connections one address has, and which idle ones go when there are too many (``server.clients``)."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from gateway.http.errors import MessageError

if TYPE_CHECKING:
    from gateway.proxy.connection import ClientConnection

TOO_MANY = MessageError("this address has too many connections", 429, "too_many_connections")


class Crowd:
    """Counts per address, only while there is a maximum."""

    def __init__(self, most: int | None) -> None:
        self._most = most
        self._counts: dict[str, int] = {}

    def enter(self, address: str) -> bool:
        """One more connection; False when its address has too many with it."""
        if self._most is None or not address:
            return True
        count = self._counts[address] = self._counts.get(address, 0) + 1
        return count <= self._most

    def leave(self, address: str) -> None:
        """A connection that entered is gone."""
        if self._most is None or address not in self._counts:
            return
        count = self._counts[address] = self._counts[address] - 1
        if not count:
            del self._counts[address]


def close_idle(connections: Iterable["ClientConnection"], most: int) -> None:
    """Close the connections that have been idle longest, until ``most`` idle ones are left."""
    idle = [one for one in connections if one.idle]
    if len(idle) > most:
        idle.sort(key=lambda one: one.deadline)  # the same patience for all: the first to end began first
        for one in idle[: len(idle) - most]:
            one.transport.close()
