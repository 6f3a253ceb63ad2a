"""The in-flight tables of a host as others see them: which there are, what they count, and how old their calls are."""

import mmap
from pathlib import Path
from struct import Struct

from gateway.spool.table_format import (
    DONE_SUFFIX,
    HEADER_SIZE,
    READABLE_FORMATS,
    TABLE_SUFFIX,
    TALLY_AT,
    TableHeader,
    oldest_since,
    unpack_table_header,
)

_TALLY = Struct("=Q")


def list_tables(directory: Path) -> dict[str, Path]:
    """The tables of live workers, and of dead ones that nobody has recovered yet, by incarnation."""
    return _by_suffix(directory, TABLE_SUFFIX)


def _by_suffix(directory: Path, suffix: str) -> dict[str, Path]:
    paths = sorted(directory.glob(f"[!.]*{suffix}"))
    return {path.name.removesuffix(suffix): path for path in paths}


def read_table_header(path: Path) -> tuple[TableHeader | None, int]:
    """A table's header and its count of frames; (None, 0) when it is damaged, of another format, or gone."""
    try:
        with path.open("rb", buffering=0) as file:
            data = file.read(HEADER_SIZE) or b""
    except FileNotFoundError:
        return None, 0
    header = unpack_table_header(data)
    if header is None or header.format not in READABLE_FORMATS or len(data) < HEADER_SIZE:
        return None, 0
    return header, _TALLY.unpack_from(data, TALLY_AT)[0]


def appended_counts(directory: Path) -> dict[str, int]:
    """How many frames each incarnation appended to its spool, living and dead (SEMANTICS §30)."""
    counts: dict[str, int] = {}
    for incarnation, path in list_tables(directory).items():
        header, appended = read_table_header(path)
        if header is not None:
            counts[incarnation] = appended
    for incarnation, path in _by_suffix(directory, DONE_SUFFIX).items():
        text = path.read_text(encoding="ascii", errors="replace")  # a damaged one tells nothing
        if text.isdecimal():
            counts[incarnation] = int(text)
    return counts


def forget_counts(directory: Path, incarnations: set[str]) -> None:
    """Drop the counts of incarnations that are reconciled for good and whose segments are gone."""
    for incarnation, path in _by_suffix(directory, DONE_SUFFIX).items():
        if incarnation in incarnations:
            path.unlink(missing_ok=True)


def oldest_open_us(directory: Path) -> int | None:
    """The watermark's part of this host: since when its oldest open call is open; None when none is (SEMANTICS §29)."""
    oldest: list[int] = []
    for path in list_tables(directory).values():
        header, _ = read_table_header(path)
        if header is None:
            continue
        try:
            with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as table:
                since = oldest_since(table, header) if len(table) >= header.file_size else None
        except FileNotFoundError:
            continue
        if since is not None:
            oldest.append(since)
    return min(oldest, default=None)
