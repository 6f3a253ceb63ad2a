"""Calls whose record the disk did not take (SEMANTICS §25): their answers were cut, their slots stay open, and the
append is tried again until it succeeds. If the worker ends before, recovery finds the slots and records the calls.
"""

import logging
from collections import deque
from typing import Protocol


class LateBooks(Protocol):
    """Books that can still be finished."""

    async def finish_late(self) -> None:
        """Append, give back, close the slot; raises ``OSError`` while the disk still fails."""
        ...


class Unwritten:
    """Never more than there are slots, since each keeps one."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._waiting: deque[LateBooks] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, books: LateBooks) -> None:
        self._waiting.append(books)

    async def retry(self) -> None:
        """Write down what can be written; the first that fails ends the round."""
        written = 0
        try:
            while self._waiting:
                books = self._waiting.popleft()
                try:
                    await books.finish_late()
                except OSError:
                    self._waiting.appendleft(books)
                    return
                written += 1
        finally:
            if written:
                self._logger.warning("calls were recorded late", extra={"calls": written})
