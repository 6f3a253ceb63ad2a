"""``gateway demo``: the gateway over data of its own, before a demo API or the visitor's own."""

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.common import EXIT_USAGE, fail, say


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("demo")(demo)


def demo(
    config: Annotated[
        Path | None,
        typer.Option("-c", "--config", help="Run this file instead of the demo's own; it needs the demo's tenants."),
    ] = None,
    upstream: Annotated[
        str | None, typer.Option(help="Put your own API behind it, such as http://localhost:3000.")
    ] = None,
    scale: Annotated[int, typer.Option(min=0, max=100_000, help="How many tenants there are in all.")] = 0,
) -> None:
    """Run the gateway with a demo API and tenants; the data is kept in data/demo."""
    from gateway.demo.overrides import BadUpstream
    from gateway.demo.run import run_demo
    from gateway.runtime.data_dir import AlreadyRunning
    from gateway.runtime.logs import configure
    from gateway.runtime.sockets import PortTaken

    configure("demo")
    try:
        code = run_demo(config, upstream, scale, say, _show)
    except (AlreadyRunning, BadUpstream, PortTaken) as error:
        fail(str(error), EXIT_USAGE)
    except KeyboardInterrupt:
        code = 130
    raise typer.Exit(code)


def _show(text: str) -> None:
    """Results go to standard output, at once, also when it is a pipe."""
    print(text, flush=True)
