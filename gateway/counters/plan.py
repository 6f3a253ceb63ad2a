"""What one call does to its counters' entries: worked out from a mapped file without changing it (the hot path).

The caller holds the lock. ``evaluate`` says whether a call passes and what to write; ``correct`` what a settlement
writes. Written as flat loops over plain tuples: three limits cost about two microseconds here.
"""

from mmap import mmap
from struct import Struct
from typing import TYPE_CHECKING, Final

from gateway.counters import layout as at
from gateway.quotas import bucket, calendar, concurrent, sliding
from gateway.quotas.counter import Counter, CounterRequest, Decision, DecisionFlag, LimitState, effective_end
from gateway.quotas.limit import Algorithm

if TYPE_CHECKING:
    from mypy_extensions import i64  # an int; in the compiled form one machine word

Words = tuple[int, int, int, int]
Took = tuple[Words, int, bool, int]
"""``(words after it, room before it, whether it fits, reset)``: what every algorithm's ``take`` returns."""

Change = tuple[int, bytes, bytes, list[tuple[int, int]], bool]
"""``(offset, head as it was, packed words and check, [(cell, units)], whole)``: what to write to one entry.

``whole``: cells that the words as they were count are written, so that the head alone would not undo it.
"""

Taken = tuple[bool, bool, list[LimitState], list[Change]]
"""``(admitted, over a soft limit, states, changes)``; the changes are to be made only when admitted."""

_CALENDAR: Final = 1  # Algorithm's own numbers: constants of the compiled form
_SLIDING: Final = 2
_BUCKET: Final = 3
_STAMPED: Final[tuple[Algorithm, ...]] = (
    Algorithm.CALENDAR,
    Algorithm.SLIDING,
)  # the others keep their last instant themselves

_unpack: Final = Struct("<24xqqqqq").unpack  # words and check; the check as a signed figure here, as ``Item.identity``
_unpack_cells: Final = at.CELL_ARRAY.unpack_from
_pack_words: Final = Struct("<qqqqq").pack
_NO_CELLS: Final[list[tuple[int, int]]] = []
_MOST_RULES: Final = 10_000
_OVERAGE: Final = int(DecisionFlag.OVERAGE)


class Rule:
    """What a request asks wherever it is counted: one object for all callers that it is the same for, so that it lies
    near however many they are.

    ``window_us`` is -1 for calendar windows, whose length varies, and 0 for concurrency; ``sliding_us`` is 0 but for
    sliding windows. ``stamp``: note the time of the last use, by which addresses are evicted.
    """

    __slots__ = ("cost", "kind", "limit", "max", "sliding_us", "stamp", "window_us")

    def __init__(self, request: CounterRequest) -> None:
        counter = request.counter
        algorithm = counter.algorithm
        self.kind = int(algorithm)
        self.limit = counter.limit
        self.max = counter.max
        self.cost = request.amount
        self.window_us = -1 if algorithm is Algorithm.CALENDAR else counter.window_us
        self.sliding_us = counter.window_us if algorithm is Algorithm.SLIDING else 0
        self.stamp = counter.volatile and algorithm in _STAMPED


_rules: Final[dict[tuple[int, int, int, int, bool], Rule]] = {}
"""By (identity of the limit, maximum, window, cost, volatile). A rule keeps its limit's identity taken."""


def _rule_of(request: CounterRequest) -> Rule:
    counter = request.counter
    of = id(counter.limit), counter.max, counter.window_us, request.amount, counter.volatile
    rule = _rules.get(of)
    if rule is None:
        if len(_rules) >= _MOST_RULES:
            _rules.clear()
        rule = _rules[of] = Rule(request)
    return rule


class Item:
    """One request with the place of its entry; little else, for there is one for each of a host's counters.

    ``shared``: another request of the call takes from the same counter, which is counted once (SEMANTICS §16).
    """

    __slots__ = ("counter", "identity", "offset", "rule", "shared")

    def __init__(self, request: CounterRequest, offset: int, earlier: list["Item"]) -> None:
        counter = request.counter
        identity = at.identity(counter.key, offset, counter.algorithm)
        self.offset = offset
        self.identity: i64 = identity - (1 << 64) if identity >> 63 else identity
        self.rule = _rule_of(request)
        self.shared = any(item.offset == offset for item in earlier)
        self.counter = counter


class Plan:
    """The places of a reservation's entries in one mapped file."""

    __slots__ = ("items", "source")

    def __init__(self, source: mmap, items: tuple[Item, ...]) -> None:
        self.source = source
        self.items = items


def evaluate(source: mmap, items: tuple[Item, ...], at_us: int) -> Taken | None:
    """Whether the call passes at ``at_us`` and what to write if so; None when an entry is no longer its counter's.

    The states are those of an admitted call; ``refused`` makes those of another.
    """
    admitted, over = True, False
    states: list[LimitState] = []
    changes: list[Change] = []
    first: int
    second: int
    third: int
    fourth: int
    check: i64
    for item in items:
        offset, rule = item.offset, item.rule
        end, kind, cost, sliding_us = offset + at.HEAD_SIZE, rule.kind, rule.cost, rule.sliding_us
        head = source[offset:end]
        first, second, third, fourth, check = _unpack(head)
        if item.identity ^ first ^ second ^ third ^ fourth != check:
            return None
        words = (first, second, third, fourth)
        cells = _NO_CELLS
        whole = False
        if sliding_us and first < (index := at_us * 60 // sliding_us):
            # Seldom used: nothing is in its older sub-buckets.
            if second == third or _nothing_in(source, end, first, index):
                words, cells = sliding.enter(words, index)
            else:
                words, cells = sliding.advance(words, _unpack_cells(source, end), index)
                whole = True
        # The two usual algorithms without a look at the counter: with many keys it lies far away in memory.
        if kind == _SLIDING:
            after, room, fits = sliding.count(words, rule.max, cost)
            reset_us = at_us + sliding_us
        elif kind == _CALENDAR and at_us < second:
            after, room, fits = calendar.count(words, rule.max, cost)
            reset_us = second
        else:
            after, room, fits, reset_us = _take(kind, words, item.counter, cost, at_us)
        first, second, third, fourth = after
        retry_us = 0
        if not fits:
            retry_us = _retry(source, offset, words, cells, item.counter, cost, at_us)
            if rule.limit.mode == "hard":
                admitted = False
            elif rule.limit.mode == "soft":
                over = True
        if rule.stamp:
            fourth = at_us
        if not item.shared:
            check = item.identity ^ first ^ second ^ third ^ fourth
            changes.append((offset, head, _pack_words(first, second, third, fourth, check), cells, whole))
        left = room - cost
        # A calendar window has its own length.
        window_us = rule.window_us if rule.window_us >= 0 else second - first
        states.append(LimitState(rule.limit, left if left > 0 else 0, reset_us, not fits, retry_us, window_us))
    return admitted, over, states, changes


def is_its_own(source: mmap, item: Item) -> bool:
    """Whether the entry is still its counter's, and undamaged."""
    first: int
    second: int
    third: int
    fourth: int
    check: i64
    first, second, third, fourth, check = _unpack(source[item.offset : item.offset + at.HEAD_SIZE])
    return item.identity ^ first ^ second ^ third ^ fourth == check


def _nothing_in(source: mmap, cells_at: int, newest: int, index: int) -> bool:
    """Whether the cells entered from ``newest`` to ``index`` hold no units."""
    first, last = sliding.entered(newest, index)
    return not source[cells_at + 8 * first : cells_at + 8 * last].strip(b"\0")


def _take(kind: int, words: Words, counter: Counter, cost: int, at_us: int) -> Took:
    if kind == _SLIDING:
        return sliding.take(words, counter, cost, at_us)
    if kind == _CALENDAR:
        return calendar.take(words, counter, cost, at_us)
    if kind == _BUCKET:
        return bucket.take(words, counter, cost, at_us)
    return concurrent.take(words, counter, cost, at_us)


def decide(source: mmap, items: tuple[Item, ...], taken: Taken, at_us: int) -> Decision:
    """The answer to the caller; while the lock is held, because a refusal reads the counters again."""
    admitted, over, states, _ = taken
    if not admitted:  # nothing was taken, so more remains
        kept = [state_of(source, item.offset, item.counter, at_us).remaining for item in items]
        states = [
            LimitState(
                state.limit,
                remaining,
                effective_end(state.reset_us, state.retry_us),
                state.violated,
                state.retry_us,
                state.window_us,
            )
            for state, remaining in zip(states, kept, strict=True)
        ]
    return Decision(admitted, at_us, tuple(states), _OVERAGE if admitted and over else 0)


def state_of(source: mmap, offset: int | None, counter: Counter, at_us: int) -> LimitState:
    """A limit's state without taking; a counter without an entry has used nothing."""
    words: Words = (0, 0, 0, 0)
    if offset is not None:
        words = _words(source, offset)
        if counter.algorithm is Algorithm.SLIDING:
            index = sliding.index_at(counter.window_us, at_us)
            if words[0] < index:
                words, _ = sliding.advance(words, _unpack_cells(source, offset + at.CELLS_AT), index)
    after, room, _, reset_us = _take(int(counter.algorithm), words, counter, 0, at_us)
    window_us = _window_us(counter, after[0], after[1])
    return LimitState(counter.limit, max(0, room), reset_us, window_us=window_us, over=max(0, -room))


def correct(source: mmap, offset: int, counter: Counter, delta: int, call_us: int, now_us: int) -> Change | None:
    """What a settlement of a call made at ``call_us`` writes; None when its window is over."""
    words = _words(source, offset)
    cells = _NO_CELLS
    after: Words | None
    match counter.algorithm:
        case Algorithm.SLIDING:
            given = sliding.give(words, _unpack_cells(source, offset + at.CELLS_AT), counter, delta, call_us)
            after, cells = given or (None, _NO_CELLS)
        case Algorithm.CALENDAR:
            after = calendar.give(words, counter, delta, call_us, now_us)
        case Algorithm.BUCKET:
            after = bucket.give(words, counter, delta, call_us, now_us)
        case Algorithm.CONCURRENT:
            after = concurrent.give(words, counter, delta, call_us, now_us)
    if after is None:
        return None
    check = at.check_word(counter.key, offset, counter.algorithm, after)
    return offset, source[offset : offset + at.HEAD_SIZE], at.WORDS.pack(*after, check), cells, bool(cells)


def _words(source: mmap, offset: int) -> Words:
    words: Words = _unpack(source[offset : offset + at.HEAD_SIZE])[:4]
    return words


def _window_us(counter: Counter, first: int, second: int) -> int:
    return second - first if counter.algorithm is Algorithm.CALENDAR else counter.window_us


def _retry(
    source: mmap, offset: int, words: Words, cells: list[tuple[int, int]], counter: Counter, cost: int, at_us: int
) -> int:
    match counter.algorithm:
        case Algorithm.SLIDING:
            ring = list(_unpack_cells(source, offset + at.CELLS_AT))
            for cell, units in cells:
                ring[cell] = units
            return sliding.retry(words, ring, counter, cost)
        case Algorithm.CALENDAR:
            return calendar.retry(words, counter, cost, at_us)
        case Algorithm.BUCKET:
            return bucket.retry(words, counter, cost, at_us)
        case Algorithm.CONCURRENT:
            return concurrent.retry(words, counter, cost, at_us)
