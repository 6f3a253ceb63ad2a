"""Where time comes from: one port, the system clock, and a clock that tests set by hand.

All instants in the data plane are whole microseconds since the Unix epoch, UTC (``int``); names end in ``_us``.
"""

import time
from typing import Final, Protocol

SECOND_US: Final = 1_000_000
MINUTE_US: Final = 60 * SECOND_US
HOUR_US: Final = 60 * MINUTE_US
DAY_US: Final = 24 * HOUR_US
_time_ns: Final = time.time_ns


class Clock(Protocol):
    """A source of time. Domains never hold one: they take the time as an argument."""

    def now(self) -> int:
        """The wall clock in microseconds since the epoch; it may step."""
        ...

    def monotonic(self) -> int:
        """Microseconds from an unknown origin; it never steps back."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now(self) -> int:
        return _time_ns() // 1000

    def monotonic(self) -> int:
        return time.monotonic_ns() // 1000


class ManualClock:
    """A clock that moves only when told; both readings start at ``now_us``."""

    def __init__(self, now_us: int = 0) -> None:
        self.now_us = now_us
        self.monotonic_us = now_us

    def now(self) -> int:
        return self.now_us

    def monotonic(self) -> int:
        return self.monotonic_us

    def advance(self, microseconds: int) -> None:
        """Let time pass on both clocks."""
        self.now_us += microseconds
        self.monotonic_us += microseconds

    def step(self, microseconds: int) -> None:
        """Step the wall clock alone, as an operator or NTP would; may be negative."""
        self.now_us += microseconds
