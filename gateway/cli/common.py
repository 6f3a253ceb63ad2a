"""What every command shares: the ``-c`` and ``--json`` options, exit codes, tables on stdout and talk on stderr."""

import json
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

EXIT_FAILED = 1
EXIT_USAGE = 2

ConfigOption = Annotated[Path, typer.Option("-c", "--config", help="The configuration file.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
DEFAULT_CONFIG = Path("gateway.yaml")


def say(message: str) -> None:
    """Talk to the person: standard error, never mixed with results."""
    print(message, file=sys.stderr, flush=True)


def fail(message: str, code: int = EXIT_FAILED) -> NoReturn:
    """Say what went wrong and what to do, and leave with ``code``."""
    say(f"gateway: {message}")
    raise typer.Exit(code)


def print_json(value: object) -> None:
    """One JSON document on standard output."""
    print(json.dumps(value, ensure_ascii=False, indent=2, default=str), flush=True)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, right: Sequence[str] = ()) -> None:
    """A table for people; plain and unwrapped when standard output is no terminal."""
    if not sys.stdout.isatty():
        _print_plainly(columns, rows, right)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", no_wrap=True)
    for row in rows:
        table.add_row(*(Text(str(cell)) for cell in row))  # as it is: a path may look like markup
    Console(soft_wrap=True, no_color="NO_COLOR" in os.environ).print(table)


def _print_plainly(columns: Sequence[str], rows: Iterable[Sequence[object]], right: Sequence[str]) -> None:
    """The same without colours and at once: a hundred thousand rows take rich minutes."""
    lines = [list(columns), *([str(cell) for cell in row] for row in rows)]
    widths = [max(map(cell_len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        gaps = (" " * (width - cell_len(cell)) for cell, width in zip(line, widths, strict=True))
        cells = (
            gap + cell if name in right else cell + gap for cell, gap, name in zip(line, gaps, columns, strict=True)
        )
        print("  ".join(cells).rstrip())
