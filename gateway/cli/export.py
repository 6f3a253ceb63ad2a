"""Calls as CSV or JSON Lines, oldest first, for other programs: streamed, with its progress on standard error."""

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.common import DEFAULT_CONFIG, EXIT_USAGE, ConfigOption, fail, say

FORMATS = ("csv", "jsonl")
STDOUT = Path("-")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("export", help=__doc__)(export)


def export(
    tenant: Annotated[str, typer.Option(help="One tenant's calls; everybody's without it.")] = "",
    since: Annotated[str, typer.Option(help="From a date, a time, or a duration back, such as 2h.")] = "",
    until: Annotated[
        str, typer.Option(help="Up to (not including) a time; by default as far as the ledger is complete.")
    ] = "",
    format: Annotated[str, typer.Option(help="csv or jsonl.")] = "csv",
    out: Annotated[Path, typer.Option(help="The file to write, whole or not at all; - is standard output.")] = STDOUT,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format jsonl.")] = False,
) -> None:
    from gateway.cli.exporting import export_calls, opened_output
    from gateway.cli.reading import read

    format = "jsonl" if as_json else format
    if format not in FORMATS:
        fail(f"--format {format}: expected csv or jsonl", EXIT_USAGE)
    try:
        with opened_output(out) as file:
            count = read(config, lambda reading: export_calls(reading, tenant, since, until, format, file))
    except BrokenPipeError:
        raise typer.Exit(0) from None  # the reader has enough, as `head` does
    except OSError as error:
        fail(f"{out}: {error.strerror or error}")
    say(f"{count} rows" + ("" if out == STDOUT else f" in {out}"))
