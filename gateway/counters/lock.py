"""The lock of a counter file: flock on an opening of one's own (SEMANTICS §20), with a deadline.

Locks of an inherited descriptor exclude nobody, and a POSIX lock is lost by closing any descriptor of the file; hence
flock, close-on-exec, one opening per store object. The kernel frees it when its holder dies.
"""

import fcntl
import os
import time
from pathlib import Path
from typing import Final

from gateway.errors import StoreUnavailable

DEADLINE_US: Final = 50_000  # SEMANTICS §22
OPENING_US: Final = 10_000_000  # at a start another process may be making the file
NOW: Final = fcntl.LOCK_EX | fcntl.LOCK_NB
flock: Final = fcntl.flock
FREE: Final = fcntl.LOCK_UN
_PAUSE_S: Final = 20e-6


class FileLock:
    """Exclusive between processes, and between two stores of one process; not re-entrant."""

    def __init__(self, path: Path) -> None:
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def acquire(self, deadline_us: int = DEADLINE_US) -> None:
        """Take the lock; raises ``StoreUnavailable`` (``lock_timeout``) after the deadline.

        It is held for microseconds, so a busy lock is asked again rather than slept on: a holder that was stopped
        must not stop every worker of the host.
        """
        try:
            flock(self.fd, NOW)
        except BlockingIOError:
            self._wait(deadline_us)
        except (OSError, ValueError) as error:
            raise StoreUnavailable(f"the counters' lock failed: {error}", "lock_failed") from error

    def release(self) -> None:
        flock(self.fd, FREE)

    def close(self) -> None:
        """Close the opening, which also frees the lock."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def _wait(self, deadline_us: int) -> None:
        deadline = time.monotonic() + deadline_us / 1e6
        while True:
            time.sleep(_PAUSE_S)
            try:
                return flock(self.fd, NOW)
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise StoreUnavailable("the counters' lock is held by a stuck process", "lock_timeout") from None
