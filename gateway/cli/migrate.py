"""Bring the store to this gateway's schema; serve does it by itself at its start."""

import typer

from gateway.cli.common import DEFAULT_CONFIG, ConfigOption, JsonOption, print_json, say


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("migrate", help=__doc__)(migrate)


def migrate(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    import asyncio
    import os

    from gateway.config.loader import load
    from gateway.storage.migrate import migrate as upgrade

    snapshot = load(config, os.environ)
    before, after = asyncio.run(upgrade(snapshot.store_url, snapshot.folder))
    if as_json:
        print_json({"before": before, "after": after})
    say(f"schema {after}" + (" already" if before == after else f", was {before or 'none'}"))
