"""Token buckets as GCRA: a rate of ``max`` units per window, and bursts of up to ``burst`` units.

Definition (SEMANTICS §13): the level, in units × window, drains by ``max`` per microsecond down to zero. A call passes
when ``level + cost·window <= burst·window`` and raises the level by ``cost·window``; a cost of 0 always passes. These
are whole numbers, so nothing is ever rounded.

What a call gives back is at most what the bucket still holds of it, its units less what has drained since: giving back
more would let in calls beyond the rate, because a bucket that ran empty in between forgot the call.
"""

from typing import Final

from gateway.quotas.counter import Counter

Words = tuple[int, int, int, int]
"""``(low, high, last_us, empty_us)``: the level as ``high·2⁶² + low`` at ``last_us``, and when it will be empty."""

_BITS: Final = 62
_MASK: Final = (1 << _BITS) - 1


def _level(words: Words, counter: Counter, at_us: int) -> int:
    low, high, last, _ = words
    return max(0, (high << _BITS | low) - counter.max * max(0, at_us - last))


def _words(level: int, counter: Counter, at_us: int) -> Words:
    level = min(level, (1 << 2 * _BITS) - 1)
    empty_us = at_us + -(-level // max(1, counter.max))
    return level & _MASK, level >> _BITS, at_us, min(empty_us, _MASK)


def capacity(counter: Counter) -> int:
    """The units that an empty bucket takes at once."""
    return counter.burst or counter.max


def take(words: Words, counter: Counter, cost: int, at_us: int) -> tuple[Words, int, bool, int]:
    """Pour ``cost`` in at ``at_us``: the new words, the room before it, whether it fits, and when it will be empty."""
    level = _level(words, counter, at_us)
    free = capacity(counter) * counter.window_us - level
    fits = cost * counter.window_us <= free or not cost
    after = _words(level + cost * counter.window_us, counter, at_us)
    return after, free // counter.window_us, fits, after[3]


def give(words: Words, counter: Counter, delta: int, call_us: int, now_us: int) -> Words | None:
    """Correct what a call made at ``call_us`` poured in by ``delta``, at ``now_us``."""
    level = _level(words, counter, now_us)
    change = delta * counter.window_us
    if delta < 0:
        change = -max(0, -change - counter.max * max(0, now_us - call_us))
    return _words(max(0, level + change), counter, now_us)


def retry(words: Words, counter: Counter, cost: int, at_us: int) -> int:
    """The first instant at which ``cost`` passes, given that it does not at ``at_us``; -1 for never."""
    if cost > capacity(counter) or counter.max == 0:
        return -1
    excess = _level(words, counter, at_us) + (cost - capacity(counter)) * counter.window_us
    return at_us + -(-excess // counter.max)
