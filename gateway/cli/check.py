"""``gateway check``: validate the configuration, and tell what it would change in the gateway that runs.

Exit 0: valid. Exit 2: the configuration is wrong (CONTRACT, Commands: 2 is wrong use or configuration); every fault
is on standard output, one a line, with file, line and field.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from gateway.cli.common import DEFAULT_CONFIG, EXIT_USAGE, ConfigOption, JsonOption, print_json, say
from gateway.errors import Fault, GatewayError

if TYPE_CHECKING:
    from gateway.config.snapshot import Snapshot


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("check")(check)


def check(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Validate the configuration and print what would change."""
    from gateway.config.loader import load
    from gateway.errors import ConfigError

    try:
        snapshot = load(config, os.environ)
    except ConfigError as error:
        report_faults(error.faults, as_json)
        raise typer.Exit(EXIT_USAGE) from None
    from gateway.config.diff import diff, restart_needed
    from gateway.config.warnings import warnings_of
    from gateway.runtime.state_feed import published_plans, published_snapshot

    twice = sorted(set(published_plans(snapshot.data_dir)) & set(snapshot.plans))
    if twice:  # SEMANTICS §32: one id in both places has no owner
        found = [
            Fault("", 0, f"plans.{name}", "was also made through the API: give one of them another name")
            for name in twice
        ]
        report_faults(found, as_json)
        raise typer.Exit(EXIT_USAGE)
    current = published_snapshot(snapshot.data_dir)
    changes = diff(current, snapshot) if current is not None else []
    waiting = restart_needed(current, snapshot) if current is not None else []
    moving = price_moves(snapshot)
    if as_json:
        warnings = warnings_of(snapshot)
        print_json(
            {"valid": True, "faults": [], "changes": changes, "restart": waiting, "warnings": warnings, "moves": moving}
        )
        return
    say(
        f"{config} is valid: {len(snapshot.routes)} routes, {len(snapshot.plans)} plans, "
        f"{len(snapshot.tenants)} tenants, {len(snapshot.keys)} keys"
    )
    for warning in warnings_of(snapshot):
        say(f"warning: {warning}")
    say_changes(changes, waiting, snapshot.data_dir, known=current is not None)
    for move in moving:
        print(f"prices of {move['tenant']} move on {move['at']}: plan {move['plan']} {move['from']} -> {move['to']}")


def price_moves(snapshot: "Snapshot") -> list[dict[str, str]]:
    """The subscriptions whose prices move to a newer version, and when (SEMANTICS §17); none without a store."""
    import asyncio

    from gateway.clock import SystemClock
    from gateway.invoicing.moving import Move, moves
    from gateway.invoicing.settings import BillingSettings
    from gateway.invoicing.shapes import time
    from gateway.storage.location import is_missing
    from gateway.storage.store import open_store

    if is_missing(snapshot.store_url, snapshot.folder):
        return []

    async def ask() -> list[Move]:
        store = await open_store(snapshot.store_url, snapshot.folder, migrate=False)
        try:
            return await moves(store.billing, BillingSettings.of(snapshot), SystemClock().now())
        finally:
            await store.close()

    try:
        found = asyncio.run(ask())
    except GatewayError as error:
        say(f"warning: subscriptions cannot be read: {error}")
        return []
    return [
        {"tenant": one.tenant, "plan": one.plan, "from": one.version, "to": one.newest, "at": str(time(one.at_us))}
        for one in found
    ]


def report_faults(faults: list[Fault], as_json: bool) -> None:
    """The faults as the command's result, and their number as talk."""
    if as_json:
        fields = ("file", "line", "field", "message")
        listed = [{name: getattr(fault, name) for name in fields} for fault in faults]
        print_json({"valid": False, "faults": listed, "changes": [], "restart": []})
    else:
        for fault in faults:
            print(fault, flush=True)
    say(f"gateway: {len(faults)} fault{'s' if len(faults) != 1 else ''}")


def say_changes(changes: list[str], waiting: list[str], data_dir: Path, *, known: bool) -> None:
    """The changes as result, one a line; what needs a restart is marked by name."""
    if not known:
        say(f"nothing was published in {data_dir} yet, so there is nothing to compare with")
        return
    say("would change:" if changes else "changes nothing")
    for line in changes:
        print(line, flush=True)
    if waiting:
        say(f"at the next start only: {', '.join(waiting)}")
