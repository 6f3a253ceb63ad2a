"""What lies in the spool directory: incarnations, their segments, and the segments' headers."""

import os
from pathlib import Path

from gateway.spool.segment import HEADER_SIZE, Header, segment_number, unpack_header

QUARANTINE = "quarantine"


def list_incarnations(directory: Path) -> list[str]:
    """Names of all incarnations, sorted; names that start with a dot are being made."""
    with os.scandir(directory) as entries:
        return sorted(
            entry.name
            for entry in entries
            if entry.name != QUARANTINE and not entry.name.startswith(".") and entry.is_dir()
        )


def list_segments(folder: Path) -> dict[int, Path]:
    """An incarnation's segments by number, in order; empty when there is no such incarnation."""
    try:
        names = [(segment_number(name), name) for name in os.listdir(folder)]
    except FileNotFoundError:
        return {}
    return {number: folder / name for number, name in sorted((n, name) for n, name in names if n is not None)}


def read_header(path: Path) -> Header | None:
    """A segment's header; None when it is damaged or the file has just been deleted."""
    try:
        with path.open("rb", buffering=0) as file:
            return unpack_header(file.read(HEADER_SIZE) or b"")
    except FileNotFoundError:
        return None


def total_size(directory: Path) -> int:
    """Bytes of all files of all incarnations; what vanishes while it is counted counts nothing."""
    total = 0
    for folder in os.scandir(directory):
        try:
            total += sum(entry.stat().st_size for entry in os.scandir(folder))
        except (FileNotFoundError, NotADirectoryError):
            continue
    return total
