"""``gateway hosts``: who ships into this ledger, and up to when; a host that is gone for good is retired."""

from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.common import DEFAULT_CONFIG, ConfigOption, JsonOption, fail, print_json, print_table, say

if TYPE_CHECKING:
    from gateway.cli.reading import Reading

app = typer.Typer(no_args_is_help=True, help="The hosts that ship into this ledger.")


def register(parent: typer.Typer) -> None:
    """Add the commands."""
    parent.add_typer(app, name="hosts")


@app.command("list")
def list_command(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Every host: up to when the ledger has its calls, and when it was last heard of."""
    from gateway.cli.reading import read, rfc3339
    from gateway.storage.ports import PLATFORM

    marks = read(config, lambda reading: reading.store.ledger.hosts(PLATFORM))
    rows = [(mark.host, rfc3339(mark.complete_until_us), rfc3339(mark.reported_us)) for mark in marks]
    names = ("host", "complete_until", "reported")
    if as_json:
        print_json([dict(zip(names, row, strict=True)) for row in rows])
    else:
        print_table(names, rows)


@app.command("retire")
def retire_command(
    host: Annotated[str, typer.Argument(help="The host's id, as list and reconcile name it.")],
    yes: Annotated[bool, typer.Option("--yes", help="Its data_dir is gone, or all of its spool is shipped.")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Wait for a host no longer: what it has not shipped is taken as never to come. It counts again when it ships."""
    from gateway.cli.reading import read

    if not yes:
        fail("bills will not wait for what this host has not shipped: say --yes", 2)
    read(config, lambda reading: retire(reading, host))
    if as_json:
        print_json({"retired": host})
    else:
        say(f"host {host} is retired")


async def retire(reading: "Reading", host: str) -> None:
    """Leaves with 1 when there is no such host, or it reports."""
    from gateway.clock import MINUTE_US
    from gateway.storage.ports import PLATFORM
    from gateway.storage.values import AuditEntry

    ledger = reading.store.ledger
    mark = next((mark for mark in await ledger.hosts(PLATFORM) if mark.host == host), None)
    if mark is None:
        fail(f"there is no host {host}: see gateway hosts list")
    if mark.reported_us > reading.now_us - MINUTE_US:
        fail(f"host {host} has reported within the last minute: stop it first")
    await ledger.retire_host(PLATFORM, host)
    await reading.store.audit.append(PLATFORM, AuditEntry(reading.now_us, "command", "host.retire", host))
