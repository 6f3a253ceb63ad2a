"""Give old calls and events up for their sums; the gateway does it by itself every hour when calls.keep is set."""

from typing import Annotated

import typer

from gateway.cli.common import DEFAULT_CONFIG, EXIT_USAGE, ConfigOption, JsonOption, fail, print_json, print_table, say

COLUMNS = ("tenant", "before", "calls", "events", "")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("prune", help=__doc__)(prune)


def prune(
    keep: Annotated[str, typer.Option(help="How long calls stay, such as 400d; calls.keep without it.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be pruned.")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    from gateway.cli.reading import Reading, read, rfc3339
    from gateway.clock import SystemClock
    from gateway.config.fields import parse_keep
    from gateway.invoicing.retention import Pruned, RetentionDesk

    try:
        wanted_us = parse_keep(keep) if keep else None
    except ValueError as error:
        fail(f"--keep: {error}", EXIT_USAGE)

    async def work(reading: Reading) -> list[Pruned]:
        keep_us = wanted_us if keep else reading.snapshot.calls_keep_us
        if keep_us is None:
            fail("calls are kept for ever: set calls.keep, or say --keep 400d", EXIT_USAGE)
        return await RetentionDesk(reading.store, SystemClock()).run(keep_us, dry=dry_run)

    pruned = read(config, work)
    if as_json:
        names = ("tenant", "calls", "events", "held")
        print_json([{n: getattr(one, n) for n in names} | {"before": rfc3339(one.before_us)} for one in pruned])
        return
    rows = [
        (
            one.tenant or "(no tenant)",
            rfc3339(one.before_us),
            one.calls,
            one.events,
            "billing needs the rest" * one.held,
        )
        for one in pruned
    ]
    print_table(COLUMNS, rows, right=("calls", "events"))
    calls, events = sum(one.calls for one in pruned), sum(one.events for one in pruned)
    say(f"{calls} calls and {events} events {'would be' if dry_run else 'are now'} sums")
