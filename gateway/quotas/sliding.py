"""Sliding windows in sub-buckets of a sixtieth: never more than ``max`` in any real window.

Definition (SEMANTICS §13): instant ``t`` lies in sub-bucket ``⌊60·t / window⌋``. A call in sub-bucket ``j`` passes when
the units of sub-buckets ``j−60 … j`` (the window's sixty and the one about to leave) plus its cost are at most
``max``; a cost of 0 always passes. Any real window ending at ``t`` lies within those 61, and units return when their
sub-bucket has left: at most a sixtieth of the window late. All arithmetic is in whole microseconds.

The words hold the newest sub-bucket and the sum; the 61 older ones are cells of a ring (sub-bucket ``i`` in cell
``i mod 61``), touched only when time enters another sub-bucket. The newest sub-bucket's own cell is not in use.
"""

from collections.abc import Sequence
from typing import Final

from gateway.quotas.counter import Counter

SUB_BUCKETS: Final = 60
CELLS: Final = SUB_BUCKETS + 1

Words = tuple[int, int, int, int]
"""``(newest, total, current, stamp)``: newest sub-bucket, units in all 61 and in the newest; the store's own word."""


def index_at(window_us: int, at_us: int) -> int:
    """The sub-bucket that holds an instant."""
    return at_us * SUB_BUCKETS // window_us


def leaves_at(window_us: int, index: int) -> int:
    """The first instant at which the units of sub-bucket ``index`` no longer count."""
    return -(-(index + CELLS) * window_us // SUB_BUCKETS)


def advance(words: Words, cells: Sequence[int], index: int) -> tuple[Words, list[tuple[int, int]]]:
    """Bring the window forward to sub-bucket ``index``: the new words, and the cells to write as (cell, units)."""
    newest, total, current, stamp = words
    if index - newest > SUB_BUCKETS:
        return (index, 0, 0, stamp), [(cell, 0) for cell in range(CELLS) if cells[cell]]
    writes = [(newest % CELLS, current)]
    for entered in range(newest + 1, index + 1):
        cell = entered % CELLS  # held sub-bucket entered − 61, which leaves now
        if cells[cell]:
            total -= cells[cell]
            writes.append((cell, 0))
    return (index, total, 0, stamp), writes


def enter(words: Words, index: int) -> tuple[Words, list[tuple[int, int]]]:
    """``advance`` where no cell that is entered holds units.

    What it writes is the cell of the sub-bucket that was newest, which the words as they were do not use: a crash
    leaves nothing to undo there.
    """
    newest, total, current, stamp = words
    if index - newest > SUB_BUCKETS:
        return (index, 0, 0, stamp), []
    return (index, total, 0, stamp), [(newest % CELLS, current)] if current else []


def entered(newest: int, index: int) -> tuple[int, int]:
    """The cells entered from ``newest`` to ``index``, as a range; the whole ring where they run past its end."""
    first, last = (newest + 1) % CELLS, index % CELLS
    return (first, last + 1) if first <= last and index - newest <= SUB_BUCKETS else (0, CELLS)


def take(words: Words, counter: Counter, cost: int, at_us: int) -> tuple[Words, int, bool, int]:
    """Count ``cost`` in the newest sub-bucket (``advance`` first): new words, room before it, whether it fits, reset.

    The reset stated is a whole window from now: a sixtieth later at most, all that was used has returned.
    """
    after, room, fits = count(words, counter.max, cost)
    return after, room, fits, at_us + counter.window_us


def count(words: Words, maximum: int, cost: int) -> tuple[Words, int, bool]:
    """``take`` without the reset."""
    newest, total, current, stamp = words
    room = maximum - total
    return (newest, total + cost, current + cost, stamp), room, cost <= room or not cost


def give(
    words: Words, cells: Sequence[int], counter: Counter, delta: int, call_us: int
) -> tuple[Words, list[tuple[int, int]]] | None:
    """Correct the units of a call made at ``call_us`` by ``delta``; None when its sub-bucket has left."""
    newest, total, current, stamp = words
    index = index_at(counter.window_us, call_us)
    if index == newest:
        delta = max(delta, -current)
        return (newest, total + delta, current + delta, stamp), []
    if not newest - SUB_BUCKETS <= index < newest:
        return None
    cell = index % CELLS
    delta = max(delta, -cells[cell])
    return (newest, total + delta, current, stamp), [(cell, cells[cell] + delta)]


def retry(words: Words, cells: Sequence[int], counter: Counter, cost: int) -> int:
    """The first instant at which ``cost`` passes, given that it does not now (``advance`` first); -1 for never."""
    newest, total, _, _ = words
    excess = total + cost - counter.max
    if cost > counter.max:
        return -1
    for index in range(newest - SUB_BUCKETS, newest):
        excess -= cells[index % CELLS]
        if excess <= 0:
            return leaves_at(counter.window_us, index)
    return leaves_at(counter.window_us, newest)
