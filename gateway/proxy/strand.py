"""A connection's coroutine, run without a task: the callback that brings what it waits for goes on with it at once.

An asyncio task is woken by way of the loop's queue; at two waits a call that is a tenth of what a call costs here.
A strand may await a ``Signal`` or any asyncio future. What needs ``asyncio.current_task`` (``asyncio.timeout``, most
client libraries) is wrapped in a task of its own first.
"""

import asyncio
from collections.abc import Callable, Coroutine, Generator
from typing import Any


class Signal:
    """What a strand waits for between two callbacks. One strand at a time; a signal that nobody awaits is lost."""

    __slots__ = ("_resume",)

    def __init__(self) -> None:
        self._resume: Callable[[], None] | None = None

    def __await__(self) -> Generator["Signal", None, None]:
        yield self

    def suspend(self, resume: Callable[[], None]) -> None:
        """The strand's side: what to call at the next ``wake``."""
        self._resume = resume

    def wake(self) -> None:
        """Go on with the strand that waits, before this returns: to be called last, when all state is in order."""
        resume = self._resume
        if resume is not None:
            self._resume = None
            resume()


class Strand:
    """Runs ``coroutine`` until its first wait, then from wake to wake. The coroutine catches its own exceptions."""

    __slots__ = ("_send", "_step", "done")

    def __init__(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self.done = False
        self._send = coroutine.send
        self._step = self._run  # bound once
        self._run()

    def _run(self, _: "asyncio.Future[Any] | None" = None) -> None:
        try:
            awaited = self._send(None)
        except StopIteration:
            self.done = True
            return
        if isinstance(awaited, Signal):
            awaited.suspend(self._step)
        elif awaited is None:  # a bare yield: let others run
            asyncio.get_running_loop().call_soon(self._step)
        else:  # the protocol between asyncio's futures and those who await them
            awaited._asyncio_future_blocking = False
            awaited.add_done_callback(self._step)
