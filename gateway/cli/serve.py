"""``gateway serve``: run the gateway in the foreground until SIGTERM or Ctrl-C."""

from typing import Annotated

import typer

from gateway.cli.common import DEFAULT_CONFIG, EXIT_USAGE, ConfigOption, fail
from gateway.errors import ConfigError


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("serve")(serve)


def serve(
    config: ConfigOption = DEFAULT_CONFIG,
    role: Annotated[str, typer.Option(help="all, proxy or control.")] = "all",
) -> None:
    """Run the gateway: workers, shipper and control process."""
    from gateway.runtime.data_dir import AlreadyRunning
    from gateway.runtime.logs import configure
    from gateway.runtime.sockets import PortTaken
    from gateway.runtime.supervisor import Supervisor

    if role not in ("all", "proxy", "control"):
        fail(f"--role {role}: expected all, proxy or control", EXIT_USAGE)
    configure("supervisor")
    try:
        code = Supervisor(config, role=role).run()
    except (PortTaken, AlreadyRunning) as error:
        fail(str(error), EXIT_USAGE)
    except ConfigError:
        raise
    raise typer.Exit(code)
