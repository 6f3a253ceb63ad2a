"""What Redis must be told of calls when it answers again: how they ended, and what those cost that policy let pass."""

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from gateway.clock import SECOND_US
from gateway.quotas.counter import Reservation

ONE_BY_ONE: Final = 100_000
"""Beyond so many, calls that were let pass are owed as sums: some 300 bytes each would fill a worker's memory."""
AT_ONCE: Final = 128  # told in one write: Redis takes a few milliseconds for them, and other calls wait behind


class Owed(msgspec.Struct, frozen=True, gc=False):
    """One call's end. ``epoch`` is the one that it was reserved in; empty for a call that was let pass. By
    ``ended_us`` its record was in the spool.

    (A Struct outside the garbage collector's reach: a hundred thousand are no reason to look through them.)
    """

    call_id: bytes
    at_us: int
    reservation: Reservation
    actual: tuple[int, ...]
    epoch: str = ""
    ended_us: int = 0


class OwedCalls:
    """The ends of calls by call id and epoch, until they were told; each is told under the same id however often.

    A reservation that was not answered is owed to its epoch, and the same call, let pass, to whatever epoch counts it.
    """

    def __init__(self, one_by_one: int = ONE_BY_ONE) -> None:
        self._most = one_by_one
        self._calls: dict[tuple[bytes, str], Owed] = {}
        self._sums: dict[tuple[int, int], bytes] = {}

    def __len__(self) -> int:
        return len(self._calls)

    def add(self, owed: Owed) -> None:
        """Owe this end. Of too many calls that were let pass, those of one reservation and moment become one."""
        if owed.epoch or len(self._calls) < self._most:
            self._calls[owed.call_id, owed.epoch] = owed
            return
        # Four times as long a moment for each time that there are too many: an outage of hours needs no more room.
        width_us = SECOND_US * 4 ** min(len(self._calls) // self._most - 1, 10)
        moment = id(owed.reservation), owed.at_us // width_us
        earlier = self._calls.get((self._sums.setdefault(moment, owed.call_id), ""))
        if earlier is not None:
            actual = tuple(map(sum, zip(earlier.actual, owed.actual, strict=True)))
            owed = Owed(earlier.call_id, earlier.at_us, earlier.reservation, actual, "", earlier.ended_us)
        self._calls[owed.call_id, ""] = owed

    def parts(self) -> Iterator[list[Owed]]:
        """All that is owed now, some at a time. What a part holds changes no more: later calls are owed anew."""
        everything = list(self._calls.values())
        self._sums.clear()
        for start in range(0, len(everything), AT_ONCE):
            yield everything[start : start + AT_ONCE]

    def told(self, ends: Sequence[Owed]) -> None:
        """These are owed no more; what came since under the same name still is."""
        for owed in ends:
            name = owed.call_id, owed.epoch
            held = self._calls.get(name)
            if held is owed or held == owed:
                del self._calls[name]
