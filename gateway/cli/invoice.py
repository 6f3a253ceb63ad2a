"""``gateway invoice``: preview, run, finalize, verify, list and show. The same desk that the daily job uses."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
    from gateway.invoicing.shapes import Json

app = typer.Typer(no_args_is_help=True, help="From usage to invoices.")
ACTOR = "command line"

TenantOption = Annotated[str, typer.Option("--tenant", help="The tenant's id.")]


def register(parent: typer.Typer) -> None:
    """Add the commands."""
    parent.add_typer(app, name="invoice")


@app.command("preview")
def preview_command(
    tenant: TenantOption,
    plan: Annotated[str, typer.Option(help="What would it cost on this plan, its newest prices.")] = "",
    at: Annotated[str, typer.Option(help="A day within the period to look at; the present one by default.")] = "",
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
) -> None:
    """The invoice of a tenant's period as it would be now; nothing is written."""
    from gateway.cli.books import at_desk, moment
    from gateway.invoicing.shapes import composed_json
    from gateway.storage.ports import PLATFORM

    when = moment(at) if at else None
    _show(composed_json(*at_desk(config, lambda desk: desk.preview(PLATFORM, tenant, plan=plan, at=when))), json)


@app.command("run")
def run_command(config: ConfigOption = DEFAULT_CONFIG, json: JsonOption = False) -> None:
    """Do all that is due: begin subscriptions, close periods, make invoices final. Running it again changes nothing."""
    from gateway.cli.books import at_desk
    from gateway.invoicing.shapes import row_json

    report = at_desk(config, lambda desk: desk.run(ACTOR))
    made = [row_json(row) for row in report.final]
    if json:
        print_json({"begun": report.begun, "drafts": report.drafts, "final": made, "failed": report.failed})
    else:
        _table(made)
        say(f"{report.begun} subscriptions begun, {report.drafts} drafts, {len(made)} invoices final")
    for subscription, why in report.failed.items():
        say(f"gateway: {subscription}: {why}")
    if report.failed:
        raise typer.Exit(EXIT_FAILED)


@app.command("finalize")
def finalize_command(
    invoice: Annotated[str, typer.Argument(help="A draft whose period is over.")],
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
) -> None:
    """Make a draft final now, without waiting for its grace to pass."""
    from gateway.cli.books import at_desk
    from gateway.invoicing.shapes import row_json

    _one(row_json(at_desk(config, lambda desk: desk.finalize(invoice, ACTOR))), json)


@app.command("verify")
def verify_command(
    invoice: Annotated[str, typer.Argument(help="Id or number; all invoices when left out.")] = "",
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
) -> None:
    """Rate invoices again, from what is stored beside them and the ledger at their watermark. Exit 1: one differs."""
    from gateway.cli.books import at_desk, verify_all
    from gateway.invoicing.shapes import verification_json

    found = at_desk(config, lambda desk: verify_all(desk, invoice))
    shapes = [verification_json(one) for one in found]
    if json:
        print_json({"data": shapes, "holds": all(one.holds for one in found)})
    else:
        rows = [
            (shape["number"] or shape["id"], shape["tenant"], shape["total"]["amount"], shape["again"]["amount"],
             shape["difference"]["amount"])
            for shape in shapes
        ]  # fmt: skip
        print_table(("invoice", "tenant", "total", "again", "difference"), rows, right=("total", "again", "difference"))
    for one in found:
        for text in one.faults:
            say(f"gateway: {one.invoice.number or one.invoice.id}: {text}")
    if not all(one.holds for one in found):
        raise typer.Exit(EXIT_FAILED)


@app.command("list")
def list_command(
    tenant: TenantOption = "",
    state: Annotated[str, typer.Option(help="draft, open, paid, void or uncollectible.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 50,
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
) -> None:
    """Invoices, newest first."""
    from gateway.cli.books import at_desk
    from gateway.invoicing.shapes import row_json
    from gateway.storage.ports import PLATFORM

    rows = at_desk(config, lambda desk: desk.invoices(PLATFORM, tenant=tenant, state=state, limit=limit))
    shapes = [row_json(row) for row in rows]
    if json:
        print_json({"data": shapes, "next": None})
    else:
        _table(shapes)


@app.command("show")
def show_command(
    invoice: Annotated[str, typer.Argument(help="Id or number.")],
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
) -> None:
    """An invoice with its lines."""
    from gateway.cli.books import at_desk
    from gateway.invoicing.shapes import invoice_json
    from gateway.storage.ports import PLATFORM

    row, lines = at_desk(config, lambda desk: desk.invoice(PLATFORM, invoice))
    _show(invoice_json(row, lines), json)


@app.command("document")
def document_command(
    invoice: Annotated[str, typer.Argument(help="Id or number.")],
    form: Annotated[str, typer.Option("--format", help="html, pdf, csv or json.")] = "pdf",
    output: Annotated[Path | None, typer.Option(help="A file; standard output when left out.")] = None,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """An invoice, or a credit note by its number, as a document."""
    from gateway.cli.books import at_desk, rendered
    from gateway.storage.ports import PLATFORM

    if form not in ("html", "pdf", "csv", "json"):
        fail("--format is html, pdf, csv or json", EXIT_USAGE)
    content, warnings = at_desk(config, lambda desk: rendered(desk, PLATFORM, invoice, form))
    for warning in warnings:
        say(f"gateway: {warning}")
    if output is None:
        sys.stdout.buffer.write(content)
    else:
        output.write_bytes(content)


@app.command("pay")
def pay_command(
    invoice: Annotated[str, typer.Argument(help="Id or number.")],
    amount: Annotated[str, typer.Option(help="A part; all that is owed when left out.")] = "",
    reference: Annotated[str, typer.Option(help="The bank's reference: told twice, it is one payment.")] = "",
    credit_excess: Annotated[bool, typer.Option("--credit-excess", help="What is beyond the debt is credit.")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
) -> None:
    """Record a payment that came in."""
    from gateway.cli.books import at_desk, decimal
    from gateway.invoicing.shapes import row_json

    paid = decimal("--amount", amount) if amount else None
    row = at_desk(
        config,
        lambda desk: desk.pay(invoice, ACTOR, amount=paid, reference=reference, credit_excess=credit_excess),
    )
    _one(row_json(row), json)


@app.command("void")
def void_command(
    invoice: Annotated[str, typer.Argument(help="Id or number.")],
    reissue: Annotated[bool, typer.Option("--reissue", help="Make another in its place, by today's terms.")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
) -> None:
    """Take an unpaid invoice back, or replace it."""
    from gateway.cli.books import at_desk
    from gateway.invoicing.shapes import row_json

    _one(row_json(at_desk(config, lambda desk: desk.void(invoice, ACTOR, reissue=reissue))), json)


@app.command("write-off")
def write_off_command(
    invoice: Annotated[str, typer.Argument(help="Id or number.")],
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
) -> None:
    """Expect no more money for an invoice."""
    from gateway.cli.books import at_desk
    from gateway.invoicing.shapes import row_json

    _one(row_json(at_desk(config, lambda desk: desk.write_off(invoice, ACTOR))), json)


@app.command("credit-note")
def credit_note_command(
    invoice: Annotated[str, typer.Argument(help="Id or number.")],
    reason: Annotated[str, typer.Option(help="Why; the customer reads it.")],
    amount: Annotated[str, typer.Option(help="Tax included; all that is left of it when left out.")] = "",
    refund: Annotated[bool, typer.Option("--refund", help="What was paid goes back, and is no credit.")] = False,
    reference: Annotated[str, typer.Option(help="The refund's reference.")] = "",
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
) -> None:
    """Give back a part of a final invoice, or all of it."""
    from gateway.cli.books import at_desk, decimal
    from gateway.invoicing.shapes import note_json

    given = decimal("--amount", amount) if amount else None
    note = at_desk(
        config,
        lambda desk: desk.credit_note(invoice, ACTOR, reason, amount=given, refund=refund, reference=reference),
    )
    shape = note_json(note)
    if json:
        print_json(shape)
    else:
        print_table(
            ("credit note", "invoice", "total"), [(shape["number"], shape["invoice"], shape["total"]["amount"])]
        )


def _one(shape: "Json", json: bool) -> None:
    if json:
        print_json(shape)
    else:
        _table([shape])


def _table(shapes: "list[Json]") -> None:
    rows = [
        (shape["number"] or shape["id"], shape["tenant"], shape["reason"], shape["state"],
         f"{shape['period']['start'][:10]} … {shape['period']['end'][:10]}", shape["total"]["amount"],
         shape["total"]["currency"])
        for shape in shapes
    ]  # fmt: skip
    columns = ("invoice", "tenant", "reason", "state", "period", "total", "currency")
    print_table(columns, rows, right=("total",))


def _show(shape: "Json", json: bool) -> None:
    if json:
        print_json(shape)
        return
    say(f"{shape.get('number') or shape.get('id') or 'Preview'} · {shape['tenant']} · "
        f"{shape['period']['start']} to {shape['period']['end']}")  # fmt: skip
    rows = []
    for line in shape["lines"]:
        quantity = "" if line["quantity"] == "0" else line["quantity"]
        rows.append((line["description"], quantity, line["exact"], line["amount"]["amount"]))
        rows += [(f"  {text}", "", "", "") for text in line["explained"]]
    for name in ("subtotal", "credited", "tax", "total"):
        rows.append((name.capitalize(), "", "", shape[name]["amount"]))
    print_table(("line", "quantity", "exact", "amount"), rows, right=("quantity", "exact", "amount"))
