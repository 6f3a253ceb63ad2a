"""The ``gateway`` command: one module a command, registered here by name."""

import importlib
import sys

import typer

HELP = "A reverse proxy that authenticates, limits, meters and bills the calls to APIs you already have."
COMMANDS = (
    "serve",
    "demo",
    "check",
    "migrate",
    "keys",
    "users",
    "calls",
    "usage",
    "rate",
    "plans",
    "invoice",
    "subscriptions",
    "reconcile",
    "hosts",
    "export",
    "prune",
    "erase",
)


def build_app() -> typer.Typer:
    """The whole command line; each module of ``COMMANDS`` adds itself with ``register(app)``."""
    app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=HELP)
    for name in COMMANDS:
        importlib.import_module(f"gateway.cli.{name}").register(app)
    return app


def main() -> None:
    """Entry point of the console script."""
    from gateway.errors import ConfigError, GatewayError

    try:
        build_app()()
    except ConfigError as error:
        for fault in error.faults:
            print(fault, file=sys.stderr)
        sys.exit(2)
    except GatewayError as error:
        print(f"gateway: {error}", file=sys.stderr)
        sys.exit(1)
