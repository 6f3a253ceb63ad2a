"""Deletes the segments that the ledger has had for long enough (SEMANTICS §24)."""

import contextlib
import os
import shutil
from collections.abc import Collection, Mapping
from itertools import pairwise
from pathlib import Path

from gateway.spool.cursor import Cursor
from gateway.spool.files import PRIVATE, directory_lock
from gateway.spool.folder import QUARANTINE, list_incarnations, list_segments, read_header
from gateway.spool.segment import HEADER_SIZE

_MARK = ".acknowledged"
_KEPT_OF_LIVE = 2
"""A live worker's last segments stay: its recovery may look for the record of a call that it is in the middle of."""


def discard(
    directory: Path, acknowledged: Mapping[str, int], keep_us: int, now_us: int, unrecovered: Collection[str]
) -> int:
    """Delete the segments whose entries were acknowledged ``keep_us`` ago or longer; returns how many went."""
    gone = 0
    for name in list_incarnations(directory):
        folder = directory / name
        with contextlib.suppress(FileNotFoundError), directory_lock(folder) as dead:
            if not dead:
                gone += _discard_segments(folder, acknowledged.get(name, 0), keep_us, now_us, _KEPT_OF_LIVE)
            elif name not in unrecovered:
                gone += _discard_dead(folder, acknowledged.get(name, 0), keep_us, now_us)
    return gone


def _discard_dead(folder: Path, acknowledged: int, keep_us: int, now_us: int) -> int:
    """Nobody appends here any more: when all is acknowledged, the last segment goes too, and the directory with it."""
    gone = _discard_segments(folder, acknowledged, keep_us, now_us, 1)
    if _has_unread(folder, acknowledged):
        return gone
    left = list_segments(folder)
    last = left[max(left)] if left else None
    if last is not None and last.stat().st_size > HEADER_SIZE and not _kept_long_enough(last, keep_us, now_us):
        return gone
    shutil.rmtree(folder)
    return gone + len(left)


def _discard_segments(folder: Path, acknowledged: int, keep_us: int, now_us: int, keep_last: int) -> int:
    segments = list(list_segments(folder).values())
    gone = 0
    for path, following in list(pairwise(segments))[: len(segments) - keep_last]:
        header = read_header(following)
        # A damaged header does not tell where its segment starts: the one before it stays until the directory goes.
        if header is None or header.first_sequence - 1 > acknowledged:
            continue
        if _kept_long_enough(path, keep_us, now_us):
            path.unlink()
            _mark_of(path).unlink()
            gone += 1
    return gone


def _has_unread(folder: Path, acknowledged: int) -> bool:
    cursor = Cursor(folder, acknowledged, folder.parent / QUARANTINE, [])
    try:
        while run := cursor.next_run(1000, 1 << 20):
            if run[-1][0] > acknowledged:
                return True
        return cursor.blocked
    finally:
        cursor.close()


def _mark_of(path: Path) -> Path:
    return path.with_name(path.name + _MARK)


def _kept_long_enough(path: Path, keep_us: int, now_us: int) -> bool:
    """Whether the segment was first seen acknowledged ``keep_us`` ago. An empty file beside it remembers since when."""
    mark = _mark_of(path)
    try:
        since_us = mark.stat().st_mtime_ns // 1000
    except FileNotFoundError:
        since_us = now_us
        os.close(os.open(mark, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, PRIVATE))
        os.utime(mark, ns=(now_us * 1000, now_us * 1000))
    return since_us + keep_us <= now_us
