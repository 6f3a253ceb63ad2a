"""Blank what calls of a tenant, or of none, say of people: addresses, paths and request ids. No sum changes."""

from typing import Annotated

import typer

from gateway.cli.common import DEFAULT_CONFIG, EXIT_USAGE, ConfigOption, JsonOption, fail, print_json, say


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("erase", help=__doc__)(erase)


def erase(
    tenant: Annotated[str, typer.Option(help="Whose calls and events.")] = "",
    no_tenant: Annotated[bool, typer.Option("--no-tenant", help="Calls of routes that ask for no key.")] = False,
    before: Annotated[str, typer.Option(help="Up to (not including) a date, a time, or a duration back; now.")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="It cannot be taken back: this says that it is meant.")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    from gateway.cli.erasing import erase_rows
    from gateway.cli.reading import read

    if bool(tenant) == no_tenant:
        fail("say whose calls: --tenant T, or --no-tenant", EXIT_USAGE)
    whose = tenant or "calls without tenant"
    if not yes:
        fail(f"this blanks addresses, paths and request ids of {whose} for ever: say --yes", EXIT_USAGE)
    rows, waiting = read(config, lambda reading: erase_rows(reading, tenant, before))
    if as_json:
        print_json({"tenant": tenant, "rows": rows, "waiting": waiting})
    say(f"{rows} rows of {whose} blanked")
    if waiting:
        say(f"{waiting} records wait in the spool with theirs: erase again once they are shipped")
