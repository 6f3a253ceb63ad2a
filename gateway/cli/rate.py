"""``gateway rate``: what a quantity costs at one price, step by step."""

import os
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Annotated

import typer
from pydantic_core import PydanticCustomError

from gateway.billing.line import Line
from gateway.billing.rating import Rated, rate
from gateway.billing.wording import describe_step, grouped
from gateway.cli.common import DEFAULT_CONFIG, EXIT_USAGE, JsonOption, fail, print_json, print_table
from gateway.config.price_file import MAX_BYTES, read_price
from gateway.config.price_schema import exact_decimal
from gateway.money import MoneyError, exponent, plain


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("rate")(rate_command)


def rate_command(
    price: Annotated[str, typer.Option(help="A YAML or JSON file with one price; - reads standard input.")],
    quantity: Annotated[str, typer.Option(help="Units to rate, added to --billed-quantity.")],
    billed_quantity: Annotated[str, typer.Option(help="Units of the same period already billed.")] = "0",
    billed_amount: Annotated[
        str | None, typer.Option(help="What they were billed; by default what the price says they cost.")
    ] = None,
    events: Annotated[
        int | None, typer.Option(min=0, help="Events that brought the quantity; one by default. For percentages.")
    ] = None,
    billed_events: Annotated[int | None, typer.Option(min=0, help="Events already billed.")] = None,
    currency: Annotated[
        str | None, typer.Option(help="Where the price names none; else billing.currency of -c FILE, else USD.")
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option("-c", "--config", help="For billing.currency; by default gateway.yaml, if there is one."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Rate a quantity at one price and show every step.

    The amount is cost(billed quantity + quantity) - billed amount, which is cost(billed quantity) by default.
    """
    try:
        rated = rate(
            read_price(_bytes(price), "<stdin>" if price == "-" else price, os.environ),
            _number("--quantity", quantity, signed=True),
            _currency(currency, config),
            billed_quantity=_number("--billed-quantity", billed_quantity),
            billed_amount=None if billed_amount is None else _number("--billed-amount", billed_amount, signed=True),
            events=events,
            billed_events=billed_events,
        )
    except MoneyError as error:
        fail(str(error), EXIT_USAGE)
    if json:
        print_json(rated_json(rated))
    else:
        print_table(("line", "quantity", "exact", "amount"), _rows(rated), right=("quantity", "exact", "amount"))


def rated_json(rated: Rated) -> dict[str, object]:
    """The answer for programs (CONTRACT, `rate`): decimals as text, ``amount`` at the currency's exponent."""
    return {
        "amount": rated.amount.to_json()["amount"],
        "exact": plain(rated.exact),
        "currency": rated.currency,
        "lines": [_line_json(line) for line in rated.lines],
    }


def _line_json(line: Line) -> dict[str, object]:
    return {
        "kind": line.kind,
        "description": line.description,
        "meter": line.meter,
        "quantity": plain(line.quantity),
        "exact": plain(line.exact),
        "amount": line.amount.to_json()["amount"],
        "tiers": [
            {
                "kind": step.kind,
                "description": describe_step(step, line.amount.currency),
                "quantity": plain(step.quantity),
                "unit": plain(step.unit),
                "exact": plain(step.amount),
                "above": None if step.first is None else plain(step.first),
                "up_to": None if step.up_to is None else plain(step.up_to),
                "size": None if step.size is None else plain(step.size),
            }
            for step in line.steps
        ],
    }


def _rows(rated: Rated) -> Iterator[tuple[str, str, str, str]]:
    for line in rated.lines:
        quantity = grouped(line.quantity) if line.quantity else ""
        yield line.description, quantity, plain(line.exact), line.amount.to_json()["amount"]
        for step in line.steps:
            yield f"  {describe_step(step, rated.currency)}", "", plain(step.amount), ""
    yield "Total", "", plain(rated.exact), str(rated.amount)


def _bytes(price: str) -> bytes:
    try:
        if price == "-":
            return sys.stdin.buffer.read(MAX_BYTES + 1)
        with Path(price).open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        fail(f"{price}: {error.strerror or error}", EXIT_USAGE)


def _number(option: str, text: str, *, signed: bool = False) -> Decimal:
    negative = signed and text.startswith("-")
    try:
        number = exact_decimal(text[1:] if negative else text)
    except PydanticCustomError as error:
        fail(f"{option}: {error.message()}", EXIT_USAGE)
    return number.copy_negate() if negative else number


def _currency(currency: str | None, config: Path | None) -> str:
    """SEMANTICS §38: the price's own currency goes first, and is looked at where it is rated."""
    if config is None and DEFAULT_CONFIG.is_file():
        config = DEFAULT_CONFIG
    if currency is None and config is not None:
        from gateway.config.loader import load

        billing = load(config, os.environ).source.get("billing")
        found = billing.get("currency") if isinstance(billing, dict) else None
        currency = found if isinstance(found, str) else None
    exponent(currency or "USD")
    return currency or "USD"
