"""The page about prices tells the truth: every example gives the amounts beneath it."""

import re
from decimal import Decimal
from pathlib import Path

import pytest

from gateway.billing.rating import rate
from gateway.config.price_file import read_price
from gateway.config.price_schema import PRICE_MODELS

PAGE = (Path(__file__).parents[3] / "docs" / "prices.md").read_text()
EXAMPLES = [
    (block, quantity, amount)
    for block, results in re.findall(r"```yaml\n(.*?)```\n\n((?:- [^\n]*\n)+)", PAGE, re.DOTALL)
    for quantity, amount in re.findall(r"- (\S+) → (\S+)\n", results)
]


@pytest.mark.parametrize(("block", "quantity", "amount"), EXAMPLES)
def test_example(block: str, quantity: str, amount: str) -> None:
    price = read_price(block.encode(), "prices.md")
    assert str(rate(price, Decimal(quantity), "USD").amount.amount) == amount


def test_every_model_has_an_example() -> None:
    assert {re.search(r"type: (\w+)", block)[1] for block, _, _ in EXAMPLES} == set(PRICE_MODELS)  # type: ignore[index]
