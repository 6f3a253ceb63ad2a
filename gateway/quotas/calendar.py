"""Calendar windows: a count that starts from zero at each bound of civil time.

Definition (SEMANTICS §13): a call at ``t`` passes when ``used + cost <= max`` over the calls whose time falls in the
window that holds ``t``; a cost of 0 always passes. Windows only move forward.
"""

from gateway.quotas.counter import Bounds, Counter

Words = tuple[int, int, int, int]
"""``(start_us, end_us, used, stamp)``: the window, its count, and a word that the store keeps for itself."""


def window_at(bounds: Bounds, at_us: int) -> tuple[int, int]:
    """The window that holds ``at_us``: one of the two given.

    Beyond them (the store's clock ran ahead by more than a window after a clock step) windows go on at the length
    of the nearest one, so that a window that has no name yet is still counted in exactly one place.
    """
    start, end, after = bounds.start_us, bounds.end_us, bounds.next_end_us
    if start <= at_us < end:
        return start, end
    if at_us < start:
        length = end - start
        first = start + (at_us - start) // length * length
        return first, first + length
    length = after - end
    first = end + (at_us - end) // length * length
    return first, first + length


def take(words: Words, counter: Counter, cost: int, at_us: int) -> tuple[Words, int, bool, int]:
    """Count ``cost`` at ``at_us``: the new words, the room before it, whether it fits, and when the window resets."""
    start, end, used, stamp = words
    if at_us >= end:  # the first call of a later window; its own bounds decide
        assert counter.bounds is not None
        start, end = window_at(counter.bounds, at_us)
        used = 0
    after, room, fits = count((start, end, used, stamp), counter.max, cost)
    return after, room, fits, end


def count(words: Words, maximum: int, cost: int) -> tuple[Words, int, bool]:
    """``take`` within the window that the words are of."""
    start, end, used, stamp = words
    room = maximum - used
    return (start, end, used + cost, stamp), room, cost <= room or not cost


def give(words: Words, counter: Counter, delta: int, call_us: int, now_us: int) -> Words | None:
    """Correct the count of a call made at ``call_us`` by ``delta``; None when its window is over."""
    start, end, used, stamp = words
    if not start <= call_us < end:
        return None
    return start, end, max(0, used + delta), stamp


def retry(words: Words, counter: Counter, cost: int, at_us: int) -> int:
    """The first instant at which ``cost`` passes, given that it does not at ``at_us``; -1 for never."""
    return -1 if cost > counter.max else take(words, counter, 0, at_us)[3]
