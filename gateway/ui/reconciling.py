"""One comparison at a time, kept for all who look: it reads every row."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Compared:
    """One comparison: how many pairs of figures, and where two differ (where, expected, found)."""

    name: str
    pairs: int
    differences: tuple[tuple[str, int, int], ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """All comparisons made at ``at_us``; ``difference`` is the sum of what differs, ``waiting`` entries unshipped.

    ``silent`` are hosts that hold ``complete_until_us`` back, and when each was last heard of.
    """

    at_us: int
    complete_until_us: int
    waiting: int
    difference: int
    checks: tuple[Compared, ...]
    silent: tuple[tuple[str, int], ...] = ()


class Reconciling:
    """Runs ``compare`` for whoever asks first; the others wait for the same report."""

    def __init__(self, compare: Callable[[], Awaitable[Comparison]]) -> None:
        self._compare = compare
        self._lock = asyncio.Lock()
        self.last: Comparison | None = None

    async def compare(self) -> Comparison:
        """A report that was begun after the call, or one that another caller waited for already."""
        before = self.last
        async with self._lock:
            if self.last is not None and self.last is not before:
                return self.last
            self.last = await self._compare()
            return self.last
