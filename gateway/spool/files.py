"""What the spool asks of the file system: preallocation, durable names, locks that die with their process."""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PRIVATE = 0o600
_ZEROS = bytes(1 << 20)


def preallocate(fd: int, size: int) -> None:
    """Give the file ``size`` bytes that are its own, so that a full disk shows here and not under a later write.

    Raises ``OSError`` (ENOSPC). Where the system has no ``posix_fallocate`` the bytes are written.
    """
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(fd, 0, size)
            return
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
                raise
    for offset in range(0, size, len(_ZEROS)):
        write_whole(fd, _ZEROS[: size - offset], offset)


def write_whole(fd: int, data: bytes, offset: int) -> None:
    """``pwrite`` that raises ENOSPC when the disk took only a part."""
    if os.pwrite(fd, data, offset) != len(data):
        raise OSError(errno.ENOSPC, "short write")


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def replace_file(path: Path, content: bytes) -> None:
    """Write a small private file whole or not at all, durably."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, PRIVATE)
    try:
        write_whole(fd, content, 0)
        os.fsync(fd)
    finally:
        os.close(fd)
    temporary.replace(path)
    sync_directory(path.parent)


def try_lock(fd: int) -> bool:
    """Take an exclusive flock without waiting. Only a descriptor of one's own opening excludes others."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return False
        raise
    return True


def open_locked_directory(path: Path) -> int | None:
    """A descriptor that holds the directory's lock; None when another holds it. Raises ``FileNotFoundError``."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    if try_lock(fd):
        return fd
    os.close(fd)
    return None


@contextmanager
def directory_lock(path: Path) -> Iterator[bool]:
    """Whether the directory's lock could be had; held inside the block."""
    fd = open_locked_directory(path)
    try:
        yield fd is not None
    finally:
        if fd is not None:
            os.close(fd)
