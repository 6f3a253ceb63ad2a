"""Where a limit is heading: a straight line from the window's start through now. Pure; times in microseconds."""

from dataclasses import dataclass

MIN_ELAPSED = 50  # a window younger than 1/50 of its length says nothing yet


@dataclass(frozen=True, slots=True)
class Forecast:
    """``projected`` units at the window's end; ``full_us`` is when the limit is reached, None if not in this window."""

    projected: int
    full_us: int | None


def forecast(used: int, maximum: int, start_us: int, end_us: int, now_us: int) -> Forecast | None:
    """The projection, or None while the window is too young, over, or unused."""
    elapsed, length = now_us - start_us, end_us - start_us
    if used <= 0 or elapsed <= 0 or now_us >= end_us or elapsed * MIN_ELAPSED < length:
        return None
    full_us = start_us + -(-elapsed * maximum // used)
    return Forecast(used * length // elapsed, max(full_us, now_us) if full_us < end_us else None)
