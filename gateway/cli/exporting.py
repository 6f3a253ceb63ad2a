"""Writes what ``gateway export`` gives: a page of rows at a time, so that memory stays small at any size."""

import csv
import io
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from gateway.cli.common import say
from gateway.cli.reading import Reading, parse_since, rfc3339
from gateway.ids import format_id
from gateway.storage.ports import PLATFORM, Scope
from gateway.storage.values import CallFilter, CallRow

PAGE = 5_000
STRETCHES = 20
"""So many pruned stretches are named one by one."""
PLAIN = (
    *("tenant", "key", "route", "upstream", "target", "method", "path", "status", "upstream_status", "outcome"),
    *("request_bytes", "response_bytes", "units", "quota_units", "counted", "billable", "not_billable", "ttfb_us"),
    *("duration_us", "attempts", "address", "request_id", "plan", "flags"),
)
COLUMNS = ("id", "part", "at", "part_at", *PLAIN)

# A spreadsheet would run a cell that begins like a formula: such text gets an apostrophe (CSV only).
_FORMULA = ("=", "+", "-", "@", "\t", "\r")

Values = Mapping[str, object]
Writer = Callable[[BinaryIO, Iterable[Values]], None]


async def export_calls(reading: Reading, tenant: str, since: str, until: str, format: str, file: BinaryIO) -> int:
    """Write every matching row of the ledger; returns how many."""
    if tenant:
        await reading.tenant(tenant)
    ledger, scope = reading.store.ledger, Scope(tenant) if tenant else PLATFORM
    complete_us = await ledger.complete_until(PLATFORM) or reading.now_us
    until_us = parse_since(until, reading.now_us)
    if until_us is None:
        until_us = complete_us
    elif until_us > complete_us:
        say(f"the ledger is complete until {rfc3339(complete_us)}: later calls may be missing")
    wanted = CallFilter(since_us=parse_since(since, reading.now_us), until_us=until_us)
    write = _write_csv if format == "csv" else _write_lines
    if format == "csv":
        file.write(_csv_lines([COLUMNS]))
    written, after = 0, None
    with _progress() as progress:
        task = progress.add_task("calls", total=await ledger.count_rows(scope, wanted))
        while True:
            page = await ledger.calls(scope, wanted, PAGE, after, oldest_first=True)
            write(file, map(values_of, page.rows))
            written, after = written + len(page.rows), page.next
            progress.update(task, completed=written)
            if after is None:
                break
    file.flush()
    stretches = await ledger.sealed(scope, wanted)
    for stretch in stretches[:STRETCHES]:
        _say_pruned(stretch.rows, stretch.start_us, stretch.end_us)
    if more := stretches[STRETCHES:]:  # quarter hours without a call lie between them
        _say_pruned(sum(one.rows for one in more), more[0].start_us, more[-1].end_us, f", in {len(more)} stretches")
    return written


def _say_pruned(rows: int, start_us: int, end_us: int, how: str = "") -> None:
    say(f"pruned, not in the export: {rows} rows from {rfc3339(start_us)} to {rfc3339(end_us)}{how}")


def values_of(row: CallRow) -> Values:
    """A row for programs: ids and times as text, sizes in bytes, durations in microseconds."""
    part_at = rfc3339(row.part_at_us) if row.part_at_us else None
    values = {"id": format_id("call", row.id), "part": row.part, "at": rfc3339(row.at_us), "part_at": part_at}
    return values | {name: getattr(row, name) for name in PLAIN}


def _write_lines(file: BinaryIO, rows: Iterable[Values]) -> None:
    encode = msgspec.json.encode
    file.write(b"".join(encode(values) + b"\n" for values in rows))


def _write_csv(file: BinaryIO, rows: Iterable[Values]) -> None:
    file.write(_csv_lines([_cell(values[name]) for name in COLUMNS] for values in rows))


def _csv_lines(rows: Iterable[Iterable[object]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)  # RFC 4180: CRLF
    return text.getvalue().encode()


def _cell(value: object) -> object:
    match value:
        case str():
            return f"'{value}" if value.startswith(_FORMULA) else value
        case bool():
            return str(value).lower()
        case dict():
            return msgspec.json.encode(value, order="sorted").decode()
        case _:
            return value


def _progress() -> Progress:
    """A bar for people; nothing where standard error is no terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())


@contextmanager
def opened_output(path: Path) -> Iterator[BinaryIO]:
    """Standard output for ``-``; else a file that gets its name once it is whole, for its owner only."""
    if path == Path("-"):
        yield sys.stdout.buffer
        return
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            yield file
            file.flush()
            os.fsync(fd)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
