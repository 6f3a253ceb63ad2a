"""What every command shares: the ``-c`` and ``--json`` options, exit codes, tables on stdout and talk on stderr."""

import json
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.table import Table

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
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", no_wrap=True)
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    width = None if sys.stdout.isatty() else 10_000
    Console(width=width, soft_wrap=True, no_color="NO_COLOR" in os.environ).print(table)
