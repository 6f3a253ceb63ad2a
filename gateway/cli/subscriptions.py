"""``gateway subscriptions``: begin, change, cancel, pause and resume; previews before anything is done."""

from typing import TYPE_CHECKING, Annotated, cast

import typer

from gateway.cli.common import DEFAULT_CONFIG, EXIT_USAGE, ConfigOption, JsonOption, fail, print_json, print_table, say

if TYPE_CHECKING:
    from gateway.billing.change import When
    from gateway.storage.billing_values import SubscriptionRow

app = typer.Typer(no_args_is_help=True, help="Who pays for which plan, and since when.")
ACTOR = "command line"

TenantArgument = Annotated[str, typer.Argument(help="The tenant's id.")]


def register(parent: typer.Typer) -> None:
    """Add the commands."""
    parent.add_typer(app, name="subscriptions")


@app.command("list")
def list_command(
    limit: Annotated[int, typer.Option(min=1, max=100_000)] = 50,
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
) -> None:
    """All subscriptions, newest first."""
    from gateway.cli.books import at_desk
    from gateway.storage.ports import PLATFORM

    _show(at_desk(config, lambda desk: desk.subscriptions(PLATFORM, limit=limit)), json, many=True)


@app.command("create")
def create_command(
    tenant: TenantArgument,
    plan: str,
    cycle: Annotated[str, typer.Option(help="month or year.")] = "month",
    quantity: Annotated[int, typer.Option(min=1, help="Seats.")] = 1,
    anniversary: Annotated[bool, typer.Option("--anniversary", help="Count periods from today's day.")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
) -> None:
    """Begin a tenant's subscription today."""
    from gateway.cli.books import at_desk
    from gateway.invoicing.subscribing import Wish

    if cycle not in ("month", "year"):
        fail("--cycle is month or year", EXIT_USAGE)
    wish = Wish(tenant, plan, cycle, anniversary=anniversary, quantity=quantity)
    _show([at_desk(config, lambda desk: desk.subscribe(wish, ACTOR))], json)


@app.command("change")
def change_command(
    tenant: TenantArgument,
    plan: Annotated[str, typer.Option(help="Another plan.")] = "",
    cycle: Annotated[str, typer.Option(help="month or year.")] = "",
    quantity: Annotated[int, typer.Option(min=0, help="Seats; 0 leaves them.")] = 0,
    when: Annotated[str, typer.Option(help="now, next_invoice or period_end.")] = "now",
    preview: Annotated[bool, typer.Option("--preview", help="Say what it costs, and do nothing.")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
) -> None:
    """Change plan, cycle or seats; the rest of the period is prorated by the second."""
    from gateway.cli.books import at_desk
    from gateway.invoicing.changing import Target
    from gateway.invoicing.shapes import changing_json
    from gateway.storage.ports import PLATFORM

    if when not in ("now", "next_invoice", "period_end"):
        fail("--when is now, next_invoice or period_end", EXIT_USAGE)
    target, moment = Target(plan, cycle, quantity), cast("When", when)
    if preview:
        shape = changing_json(at_desk(config, lambda desk: desk.preview_change(PLATFORM, tenant, target, moment)))
    else:
        shape = changing_json(at_desk(config, lambda desk: desk.change(tenant, target, ACTOR, moment)))
    if json:
        print_json(shape)
        return
    say(f"{shape['plan']}, {shape['quantity']} × per {shape['cycle']}, from {shape['effective_at']}")
    lines = [(line["description"], line["amount"]["amount"]) for line in shape["lines"]]
    print_table(("line", "amount"), lines, right=("amount",))


@app.command("cancel")
def cancel_command(
    tenant: TenantArgument,
    now: Annotated[bool, typer.Option("--now", help="At once, not when the paid period ends.")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
) -> None:
    """End a subscription; what was used is billed."""
    from gateway.cli.books import at_desk

    _show([at_desk(config, lambda desk: desk.cancel(tenant, ACTOR, now=now))], json)


@app.command("keep")
def keep_command(tenant: TenantArgument, config: ConfigOption = DEFAULT_CONFIG, json: JsonOption = False) -> None:
    """Take back a cancellation or change that waits for the period's end."""
    from gateway.cli.books import at_desk

    _show([at_desk(config, lambda desk: desk.keep(tenant, ACTOR))], json)


@app.command("pause")
def pause_command(tenant: TenantArgument, config: ConfigOption = DEFAULT_CONFIG, json: JsonOption = False) -> None:
    """Stop serving and charging fees."""
    from gateway.cli.books import at_desk

    _show([at_desk(config, lambda desk: desk.pause(tenant, ACTOR))], json)


@app.command("resume")
def resume_command(tenant: TenantArgument, config: ConfigOption = DEFAULT_CONFIG, json: JsonOption = False) -> None:
    """Serve again after a pause."""
    from gateway.cli.books import at_desk

    _show([at_desk(config, lambda desk: desk.resume(tenant, ACTOR))], json)


def _show(rows: "list[SubscriptionRow]", json: bool, *, many: bool = False) -> None:
    from gateway.invoicing.shapes import subscription_json

    shapes = [subscription_json(row) for row in rows]
    if json:
        print_json({"data": shapes, "next": None} if many else shapes[0])
        return
    columns = ("tenant", "plan", "cycle", "quantity", "state", "start_at", "billed_until", "cancel_at")
    print_table(columns, [[shape[column] or "" for column in columns] for shape in shapes])
