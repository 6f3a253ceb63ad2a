"""Concurrency: at most ``max`` units at once, given back when a call ends (SEMANTICS §15: a refusal says 1 second)."""

from gateway.clock import SECOND_US
from gateway.quotas.counter import Counter

Words = tuple[int, int, int, int]
"""``(used, last_us, 0, stamp)``: units held now, the last change, and a word that the store keeps for itself."""


def take(words: Words, counter: Counter, cost: int, at_us: int) -> tuple[Words, int, bool, int]:
    """Hold ``cost`` from ``at_us``: the new words, the room before it, whether it fits, and ``at_us`` (no reset)."""
    used = words[0]
    room = counter.max - used
    return (used + cost, at_us, 0, words[3]), room, cost <= room or not cost, at_us


def give(words: Words, counter: Counter, delta: int, call_us: int, now_us: int) -> Words | None:
    """Change what is held by ``delta``."""
    return max(0, words[0] + delta), now_us, 0, words[3]


def retry(words: Words, counter: Counter, cost: int, at_us: int) -> int:
    """Nobody knows when a call ends: a second from now; -1 for never."""
    return -1 if cost > counter.max else at_us + SECOND_US
