"""``gateway keys``: create, list, rotate, revoke and import the keys of tenants.

A key is printed once, alone on standard output; the store keeps its SHA-256. Changes return when every local worker
has applied them, or warn after two seconds (SEMANTICS §31).
"""

import os
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from gateway.cli.common import (
    DEFAULT_CONFIG,
    EXIT_FAILED,
    EXIT_USAGE,
    ConfigOption,
    JsonOption,
    fail,
    print_json,
    print_table,
    say,
)

if TYPE_CHECKING:
    from gateway.cli.key_desk import KeyDesk

T = TypeVar("T")
keys = typer.Typer(no_args_is_help=True, help="Make, list, rotate, revoke and import API keys.")

TenantArgument = Annotated[str, typer.Argument(help="The tenant's id.")]
KeyArgument = Annotated[str, typer.Argument(help="The key's id, as `keys list` prints it.")]
OfTenantOption = Annotated[str | None, typer.Option("--tenant", help="The tenant, when several have a key of this id.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(keys, name="keys")


@keys.command("create")
def create(
    tenant: TenantArgument,
    name: Annotated[str, typer.Option(help="What the key is for.")] = "",
    expires: Annotated[str, typer.Option(help="A date, such as 2030-01-31, or a duration, such as 90d.")] = "",
    scopes: Annotated[str, typer.Option(help="Names, separated by commas.")] = "",
    as_yaml: Annotated[bool, typer.Option("--yaml", help="Print lines for the configuration; store nothing.")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Make a key and print it, once."""
    from gateway.cli.key_desk import parse_expiry, parse_scopes, yaml_lines

    try:
        expires_us, scope_names = parse_expiry(expires), parse_scopes(scopes)
        if as_yaml:
            text, lines = yaml_lines(name, expires, scope_names)
            print(lines, flush=True)
            say(f"put these lines under tenants.{tenant}.keys; the key itself, shown this once, is:\n{text}")
            return
    except ValueError as error:
        fail(str(error), EXIT_USAGE)

    minted, created = _run(config, lambda desk: desk.create(tenant, name, expires_us, scope_names))
    if as_json:
        print_json({"id": created.id, "tenant": tenant, "name": created.name, "key": minted.text})
    else:
        say(f"key {created.id} of {tenant}; it is shown this once:")
        print(minted.text, flush=True)


@keys.command("list")
def list_keys(
    tenant: Annotated[str | None, typer.Argument(help="One tenant's only.")] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """List keys, those of the configuration and those of the store."""
    rows = _run(config, lambda desk: desk.rows(tenant))
    if as_json:
        print_json({"data": rows})
        return
    columns = ("id", "tenant", "name", "key", "scopes", "created", "expires", "last_used", "status", "source")
    print_table(
        [column.replace("_", " ") for column in columns], [[row[column] or "–" for column in columns] for row in rows]
    )
    if not rows:
        say("no keys; make one with gateway keys create TENANT")


@keys.command("rotate")
def rotate(
    key: KeyArgument,
    tenant: OfTenantOption = None,
    keep_old: Annotated[bool, typer.Option("--keep-old", help="Leave the old key valid, to be revoked later.")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Make a key like another and revoke the other."""
    minted, created = _run(config, lambda desk: desk.rotate(key, tenant, keep_old=keep_old))
    if as_json:
        print_json({"id": created.id, "tenant": created.tenant, "name": created.name, "key": minted.text, "old": key})
    else:
        say(f"key {created.id} of {created.tenant}, in the place of {key}; it is shown this once:")
        print(minted.text, flush=True)


@keys.command("revoke")
def revoke(
    key: KeyArgument, tenant: OfTenantOption = None, config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False
) -> None:
    """End a key now: every local worker refuses it when this returns."""
    _run(config, lambda desk: desk.revoke(key, tenant))
    if as_json:
        print_json({"revoked": key})
    else:
        say(f"revoked {key}")


@keys.command("import")
def import_keys(
    file: Annotated[
        str, typer.Argument(help="A CSV file with the columns tenant and key or hash; - is standard input.")
    ],
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Take over keys that customers have already."""
    from gateway.tenants.key_file import parse_key_file

    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        fail(f"cannot read {file}: {error}", EXIT_USAGE)
    rows, faults = parse_key_file(text, file)
    for fault in faults:
        say(str(fault))
    if faults:
        fail("nothing was imported", EXIT_FAILED)
    made, known = _run(config, lambda desk: desk.import_rows(rows, file))
    if as_json:
        print_json({"imported": made, "already": known})
    else:
        say(f"imported {made} keys; {known} were there already")


def _run(config: Path, work: "Callable[[KeyDesk], Coroutine[Any, Any, T]]") -> T:
    """Load the configuration, open the store, do the work, wait for the workers."""
    import asyncio

    from gateway.cli.key_desk import KeyDesk
    from gateway.config.loader import load
    from gateway.runtime.state_wait import wait_applied

    snapshot = load(config, os.environ)

    async def session() -> tuple[T, int]:
        async with KeyDesk.open(snapshot) as desk:
            return await work(desk), desk.sequence

    result, sequence = asyncio.run(session())
    applied = wait_applied(snapshot.data_dir, sequence)
    if not applied:
        slots = ", ".join(map(str, applied.behind))
        say(f"warning: worker {slots} has not applied the change after 2 s; it will when the shipper reaches it")
    return result
