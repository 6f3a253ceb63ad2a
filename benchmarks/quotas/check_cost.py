"""CPU of one check (reserve), of a settlement, and of the fields, on the memory-mapped store; bytes per counter.

    .venv/bin/python benchmarks/quotas/check_cost.py [--counters N] [--most 5]

Prints microseconds of this process's CPU, the least of several runs, and the same divided by the cost of a bare
flock-unlock pair on this machine now, which says how busy and how fast the machine is. With ``--most`` it ends with 1
when a check with three limits costs more. Compiled modules are used where there are some (``make compile``).
"""

import argparse
import fcntl
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from gateway import compiled

REMARK = compiled.use()  # before anything else of it is imported

from gateway.clock import HOUR_US, MINUTE_US, SECOND_US, SystemClock  # noqa: E402
from gateway.counters.growing import Succession  # noqa: E402
from gateway.counters.layout import Capacity  # noqa: E402
from gateway.counters.mmap_store import MmapCounterStore  # noqa: E402
from gateway.quotas.answer import limit_lines  # noqa: E402
from gateway.quotas.binding import bind  # noqa: E402
from gateway.quotas.limit import Algorithm, CalendarWindow, DurationWindow, Limit  # noqa: E402
from gateway.tenants.model import Tenant  # noqa: E402

PLENTY = 10**12
LIMITS = [
    Limit("burst", "calls", PLENTY, DurationWindow(MINUTE_US), Algorithm.SLIDING, ("key",)),
    Limit("monthly", "calls", PLENTY, CalendarWindow("month"), Algorithm.CALENDAR),
    Limit("daily", "calls", PLENTY, CalendarWindow("day"), Algorithm.CALENDAR, ("key",)),
    Limit("parallel", "", PLENTY, None, Algorithm.CONCURRENT, ("key",)),
    Limit("rate", "calls", 10**6, DurationWindow(SECOND_US), Algorithm.BUCKET, burst=10**9),
    Limit("hourly", "calls", PLENTY, DurationWindow(HOUR_US), Algorithm.SLIDING),
    Limit("route", "calls", PLENTY, CalendarWindow("day"), Algorithm.CALENDAR, ("route",)),
    Limit("yearly", "calls", PLENTY, CalendarWindow("year"), Algorithm.CALENDAR),
]
TENANT = Tenant("acme", "Acme", "pro", timezone="Europe/Berlin")
CALLS = 20_000
RUNS = 7


def cpu_us(step: Callable[[], object]) -> float:
    """Microseconds of CPU per step: the least of several runs."""
    costs = []
    for _ in range(RUNS):
        begin = time.process_time_ns()
        for _ in range(CALLS):
            step()
        costs.append((time.process_time_ns() - begin) / CALLS / 1000)
    return min(costs)


def lock_cost_us(folder: Path) -> float:
    """A bare flock-unlock pair."""
    fd = os.open(folder / "plain", os.O_RDWR | os.O_CREAT)

    def pair() -> None:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(fd, fcntl.LOCK_UN)

    try:
        return cpu_us(pair)
    finally:
        os.close(fd)


def measure(folder: Path) -> float:
    """Print all; returns what a check with three limits costs."""
    form = "compiled" if limit_lines.__class__.__name__ != "function" else "not compiled"
    checks = {}
    store = MmapCounterStore.open(folder / "counters", SystemClock(), "bench")
    unit = lock_cost_us(folder)
    print(f"flock pair              {unit:6.2f} µs")
    for count in (1, 3, 8):
        binding = bind(LIMITS[:count], {}, TENANT, "k1", "r")
        amounts = {"calls": 1}
        now = store.now()
        reservation = binding.reservation(now, amounts)
        call = os.urandom(16)
        decision = store.reserve_now(call, reservation)
        figures = {
            "reserve": cpu_us(lambda r=reservation, c=call: store.reserve_now(c, r)),  # type: ignore[misc]
            "fields": cpu_us(lambda d=decision: limit_lines(d.states, d.at_us, "ietf")),  # type: ignore[misc]
            "reservation": cpu_us(lambda b=binding, n=now, a=amounts: b.reservation(n, a)),  # type: ignore[misc]
        }
        checks[count] = figures["reserve"]
        for name, cost in figures.items():
            print(f"{count} limits, {name:<14} {cost:6.2f} µs   {cost / unit:5.2f} × flock pair")
    settle_equal(store)
    store.close()
    told = ", ".join(f"{cost:.1f} µs" for cost in checks.values())
    print(f"proof: memory-mapped, {form}: a check with 1, 3, 8 limits {told}; a bare flock pair {unit:.2f} µs")
    return checks[3]


def settle_equal(store: MmapCounterStore) -> None:
    """Three limits without concurrency, the actual amounts those reserved: no lock."""
    reservation = bind(LIMITS[:3], {}, TENANT, "k1", "r").reservation(store.now(), {"calls": 1})
    at_us = store.reserve_now(bytes(16), reservation).at_us
    numbers = iter(range(1, 1 << 40))
    cost = cpu_us(lambda: store.settle_now(next(numbers).to_bytes(16, "big"), at_us, reservation, (1, 1, 1)))
    print(f"3 limits, settle, equal  {cost:6.2f} µs")


def fill(folder: Path, counters: int) -> None:
    """Make that many counters in a file that grows as the shipper makes it grow; say what they take."""
    least = Capacity(1 << 17, 8, 8)
    store = MmapCounterStore.open(folder / "many", SystemClock(), "bench", capacity=least)
    shipper = MmapCounterStore.open(folder / "many", SystemClock(), capacity=least)
    limit = Limit("callers", "calls", PLENTY, CalendarWindow("month"), Algorithm.CALENDAR, ("key",))
    spent, grown = 0.0, []
    for number in range(counters):
        if number % 10_000 == 0:
            begin, held = time.process_time(), SuccessionTimes.held_s
            if (room := shipper.grow(least)) is not None:
                seconds, pause = time.process_time() - begin, SuccessionTimes.held_s - held
                grown.append(f"to {room.small:,} in {seconds:.1f} s, of which workers wait {pause * 1000:.0f} ms")
        begin = time.process_time()
        reservation = bind([limit], {}, TENANT, f"k{number}", "r").reservation(store.now(), {"calls": 1})
        store.reserve_now(bytes(16), reservation)
        spent += time.process_time() - begin
    size = store._file.layout.size
    each = spent / counters * 1e6
    print(f"{counters:,} counters: {size / counters:.0f} bytes each of file, {each:.1f} µs to bind and make one")
    print(f"  figures: {store.occupancy()}, notes for seeding {(folder / 'many/unseeded').stat().st_size:,} bytes")
    print("  grown " + "; ".join(grown))
    for number in range(0, counters, max(1, counters // 1000)):
        bound = bind([limit], {}, TENANT, f"k{number}", "r")
        assert store.read(bound.counters(store.now()))[0].remaining == PLENTY - 1
    store.close()
    shipper.close()


class SuccessionTimes:
    """How long workers waited for new generations."""

    held_s = 0.0

    @classmethod
    def watch(cls) -> None:
        plain = Succession.take_over

        def timed(self: Succession, at_us: int) -> None:
            begin = time.process_time()
            plain(self, at_us)
            cls.held_s += time.process_time() - begin

        Succession.take_over = timed  # type: ignore[method-assign]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--counters", type=int, default=0, help="also make this many counters")
    parser.add_argument("--most", type=float, help="microseconds that a check with three limits may cost")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="quotas-") as temporary:
        cost_us = measure(Path(temporary))
        if arguments.counters:
            SuccessionTimes.watch()
            fill(Path(temporary), arguments.counters)
    if arguments.most and cost_us > arguments.most:
        raise SystemExit(f"a check with three limits costs {cost_us:.1f} µs; at most {arguments.most} are allowed")
