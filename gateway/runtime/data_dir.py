"""The data directory: private to its owner, and held by one ``serve`` at a time."""

import fcntl
import logging
import os
from pathlib import Path

from gateway.errors import GatewayError

logger = logging.getLogger(__name__)


class AlreadyRunning(GatewayError):
    """Another gateway holds the directory; ``pid`` is 0 when it could not be read."""

    def __init__(self, path: Path, pid: int) -> None:
        super().__init__(f"another gateway (pid {pid or 'unknown'}) already runs with {path}; stop it, or set data_dir")
        self.pid = pid


def prepare(path: Path) -> None:
    """Create the directory 0700; tighten an existing one that others may enter, with a warning (SEMANTICS §33)."""
    if not path.exists():
        path.mkdir(parents=True, mode=0o700)
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        logger.warning("data directory was open to others; made it 0700", extra={"path": str(path), "mode": oct(mode)})
        path.chmod(0o700)
    for name in ("spool", "inflight", "counters", "state", "run"):
        (path / name).mkdir(mode=0o700, exist_ok=True)


class DataDirLock:
    """The lock on ``data/lock``, held for the life of the supervisor. Raises ``AlreadyRunning``."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            text = os.read(self._fd, 32).decode("ascii", "replace").strip()
            os.close(self._fd)
            raise AlreadyRunning(path, int(text) if text.isdigit() else 0) from None
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        os.close(self._fd)
