"""The store's time (SEMANTICS §1): follows the wall clock forward at once, and never goes back."""

import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from uuid import UUID

from gateway.clock import Clock, SystemClock

Reading = tuple[int, int, int]
"""``(anchor_mono, anchor_us, last_us)``: where the slow clock starts, and the last time given."""


def advance(anchor_mono: int, anchor_us: int, last_us: int, mono: int, wall_us: int) -> Reading:
    """The next reading; its last member is the time.

    While the wall clock leads, time is the wall clock and the anchor moves with it. After a backward step time runs
    from the anchor at 0.9 of the monotonic clock until the wall clock leads again.
    """
    slow = anchor_us + (mono - anchor_mono) * 9 // 10
    if wall_us >= slow and wall_us >= last_us:
        return mono, wall_us, wall_us
    return anchor_mono, anchor_us, max(slow, last_us)


def rebase(last_us: int, mono: int, wall_us: int) -> Reading:
    """The first reading of another boot, whose monotonic clock has another origin."""
    now = max(wall_us, last_us)
    return mono, now, now


class BootClock:
    """The machine's clocks, with a monotonic clock that also counts while the machine sleeps where there is one."""

    SOURCE = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

    def now(self) -> int:
        return time.time_ns() // 1000

    def monotonic(self) -> int:
        return time.clock_gettime_ns(self.SOURCE) // 1000


def store_clock(clock: Clock) -> Clock:
    """The clock to share a counter file by: every process of a host must read the same monotonic clock."""
    return BootClock() if isinstance(clock, SystemClock) else clock


def nanoseconds(clock: Clock) -> tuple[Callable[[], int], Callable[[], int]]:
    """Its wall and monotonic readings in nanoseconds; the machine's own are read without a Python frame."""
    if isinstance(clock, BootClock):
        return time.time_ns, partial(time.clock_gettime_ns, BootClock.SOURCE)
    return lambda: clock.now() * 1000, lambda: clock.monotonic() * 1000


def boot_id() -> bytes:
    """16 bytes that change with every boot of the machine; zeros where nothing tells."""
    try:
        if sys.platform == "darwin":
            text = subprocess.run(
                ["/usr/sbin/sysctl", "-n", "kern.bootsessionuuid"], capture_output=True, check=True, text=True
            ).stdout
        else:
            with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
                text = file.read()
        return UUID(text.strip()).bytes
    except (OSError, ValueError, subprocess.SubprocessError):
        return bytes(16)
