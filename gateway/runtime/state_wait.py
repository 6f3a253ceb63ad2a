"""Waiting until every local worker serves by a change (SEMANTICS §31)."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

from gateway.runtime import state_files as files

INTERVAL = 0.02


@dataclass(frozen=True, slots=True)
class Applied:
    """How many workers live here, and the slots of those that have not applied the change yet."""

    workers: int
    behind: tuple[int, ...]

    def __bool__(self) -> bool:
        return not self.behind


def wait_applied(data_dir: Path, sequence: int, timeout: float = 2.0) -> Applied:
    """Return when every live local worker has applied the store's change ``sequence``, or after ``timeout`` seconds.

    Without a running gateway there is nobody to wait for: the next start reads the store.
    """
    deadline = time.monotonic() + timeout
    while True:
        live = list(_live_workers(data_dir))
        behind = tuple(sorted(slot for slot, applied in live if applied < sequence))
        if not behind or time.monotonic() >= deadline:
            return Applied(len(live), behind)
        time.sleep(INTERVAL)


def _live_workers(data_dir: Path) -> list[tuple[int, int]]:
    """``(slot, change sequence)`` of each worker that lives; what the dead left behind is removed."""
    live = []
    for path in (data_dir / "state").glob("ack-*-*"):
        try:
            pid, start, _, sequence = files.ACK.unpack(path.read_bytes())
        except (OSError, ValueError, files.ACK_ERROR):
            continue
        if _lives(pid, start):
            live.append((int(path.name.split("-")[1]), sequence))
        else:
            path.unlink(missing_ok=True)
    return live


def _lives(pid: int, start: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return not start or files.process_start(pid) in (0, start)
