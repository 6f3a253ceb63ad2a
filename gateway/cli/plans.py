"""``gateway plans``: what there is to be sold, and what a plan would have cost on past usage."""

from typing import Annotated

import typer

from gateway.cli.common import DEFAULT_CONFIG, ConfigOption, JsonOption, print_json, print_table

app = typer.Typer(no_args_is_help=True, help="Plans and what they cost.")
PAGE = 100


def register(parent: typer.Typer) -> None:
    """Add the commands."""
    parent.add_typer(app, name="plans")


@app.command("cost")
def cost_command(
    plan: Annotated[str, typer.Argument(help="The plan to compare with.")],
    tenant: Annotated[str, typer.Option("--tenant", help="One tenant; all of them when left out.")] = "",
    at: Annotated[str, typer.Option(help="A day of the month to look at; the present one by default.")] = "",
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
) -> None:
    """What a month's usage would cost on this plan, beside what it costs now. Nothing is changed."""
    from gateway.cli.books import at_desk, moment
    from gateway.invoicing.following import BillingDesk
    from gateway.invoicing.shapes import comparison_json
    from gateway.invoicing.what_if import Comparison
    from gateway.storage.ports import PLATFORM

    when = moment(at) if at else None

    async def ask(desk: BillingDesk) -> list[Comparison]:
        if tenant:
            return await desk.would_cost(PLATFORM, plan, tenant=tenant, at=when)
        found: list[Comparison] = []
        after: str | None = None
        while rows := await desk.would_cost(PLATFORM, plan, at=when, limit=PAGE, after=after):
            found += rows
            after = rows[-1].tenant
        return found

    shapes = [comparison_json(one) for one in at_desk(config, ask)]
    if json:
        print_json({"data": shapes, "next": None})
        return
    rows = [
        (shape["tenant"], shape["plan"], shape["now"]["total"]["amount"], shape["then"]["total"]["amount"],
         shape["difference"]["amount"] if shape["difference"] else "", shape["then"]["total"]["currency"])
        for shape in shapes
    ]  # fmt: skip
    print_table(("tenant", "plan", "now", plan, "difference", "currency"), rows, right=("now", plan, "difference"))
