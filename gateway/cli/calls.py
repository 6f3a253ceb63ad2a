"""A tenant's calls, newest first, or how many there are."""

from typing import Annotated

import typer

from gateway.cli.common import DEFAULT_CONFIG, ConfigOption, JsonOption, print_json, print_table, say

MAX_ROWS = 100_000


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("calls", help=__doc__)(calls)


def calls(
    tenant: Annotated[str, typer.Option(help="The tenant's id.")],
    since: Annotated[str, typer.Option(help="From a date, a time, or a duration back, such as 2h.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=MAX_ROWS, help="Rows to list.")] = 50,
    count: Annotated[
        bool, typer.Option("--count", help="One number: distinct calls with a record, unshipped ones too.")
    ] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    from gateway.cli import call_reading
    from gateway.cli.reading import read

    if count:
        print(read(config, lambda reading: call_reading.count(reading, tenant, since)), flush=True)
        return
    rows, waiting, pruned = read(config, lambda reading: call_reading.newest(reading, tenant, since, limit))
    if as_json:
        print_json([call_reading.call_json(row) for row in rows])
    else:
        print_table(call_reading.COLUMNS, call_reading.cells(rows), right=call_reading.NUMBERS)
    if waiting:
        say(f"{waiting} more calls wait in the spool and are not listed yet")
    if pruned and len(rows) < limit:
        say(f"{pruned} older calls are pruned: --count and `gateway usage` know them")
    elif not rows and not waiting:
        say("no calls")
