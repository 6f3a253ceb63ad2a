"""``gateway calls``: a tenant's calls, newest first, or how many there are."""

from typing import Annotated

import typer

from gateway.cli.common import DEFAULT_CONFIG, EXIT_USAGE, ConfigOption, JsonOption, fail, print_json, print_table, say

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
    from gateway.cli.reading import Reading, parse_since, read
    from gateway.runtime.unshipped import unshipped_calls
    from gateway.storage.ports import PLATFORM, Scope
    from gateway.storage.values import CallFilter, CallRow

    async def counted(reading: Reading) -> int:
        await reading.tenant(tenant)
        filter = CallFilter(since_us=parse_since(since, reading.now_us))
        cursors = await reading.store.ledger.cursors(PLATFORM)
        waiting = {
            record.id
            for record in unshipped_calls(reading.spool, cursors)
            if record.tenant == tenant and (filter.since_us is None or record.at_us >= filter.since_us)
        }
        return await reading.store.ledger.count_calls(Scope(tenant), filter, waiting)

    async def listed(reading: Reading) -> tuple[list[CallRow], int]:
        await reading.tenant(tenant)
        filter = CallFilter(since_us=parse_since(since, reading.now_us))
        ledger, after = reading.store.ledger, None
        rows: list[CallRow] = []
        while len(rows) < limit:
            page = await ledger.calls(Scope(tenant), filter, min(1000, limit - len(rows)), after)
            rows += page.rows
            after = page.next
            if after is None:
                break
        cursors = await ledger.cursors(PLATFORM)
        waiting = sum(record.tenant == tenant for record in unshipped_calls(reading.spool, cursors))
        return rows, waiting

    if not tenant:
        fail("--tenant: name a tenant", EXIT_USAGE)
    if count:
        print(read(config, counted), flush=True)
        return
    rows, waiting = read(config, listed)
    if as_json:
        print_json([call_json(row) for row in rows])
    else:
        print_table(COLUMNS, map(_cells, rows), right=("status", "ms", "bytes"))
    if waiting:
        say(f"{waiting} more calls wait in the spool and are not listed yet")
    elif not rows:
        say("no calls")


COLUMNS = ("time", "status", "method", "path", "route", "key", "outcome", "ms", "bytes", "units")


def _cells(row: object) -> tuple[object, ...]:
    from gateway.cli.reading import rfc3339
    from gateway.storage.values import CallRow

    assert isinstance(row, CallRow)
    units = " ".join(f"{meter}={amount}" for meter, amount in sorted(row.units.items()))
    milliseconds = f"{row.duration_us / 1000:.1f}"
    return (
        rfc3339(row.at_us),
        row.status,
        row.method,
        row.path,
        row.route,
        row.key,
        row.outcome,
        milliseconds,
        row.response_bytes,
        units,
    )


def call_json(row: object) -> dict[str, object]:
    """A call for programs: ids as text, times RFC 3339, sizes in bytes, durations in microseconds."""
    from dataclasses import asdict

    from gateway.cli.reading import rfc3339
    from gateway.ids import format_id
    from gateway.storage.values import CallRow

    assert isinstance(row, CallRow)
    values = asdict(row)
    for private in ("posting", "address_hash"):
        del values[private]
    return values | {"id": format_id("call", row.id), "at_us": row.at_us, "at": rfc3339(row.at_us)}
