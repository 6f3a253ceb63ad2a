"""``gateway rate`` as scripts see it."""

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from gateway.cli import rate
from gateway.errors import ConfigError

GRADUATED = """\
type: graduated
meter: calls
tiers: [{up_to: 10000, unit: "0"}, {up_to: 100000, unit: "0.001"}, {unit: "0.0005"}]
"""


@pytest.fixture
def run(tmp_path: Path) -> Any:
    """``run(price text, options…)`` → the JSON answer, or the result of a failure."""
    app = typer.Typer()
    app.callback()(lambda: None)
    rate.register(app)

    def call(price: str, *options: str, code: int = 0) -> Any:
        file = tmp_path / "price.yaml"
        file.write_text(price)
        result = CliRunner().invoke(app, ["rate", "--price", str(file), "--json", *options])
        if isinstance(result.exception, ConfigError):  # `main` prints its faults and exits 2
            return [str(fault).removeprefix(f"{tmp_path}/") for fault in result.exception.faults]
        assert result.exit_code == code, result.output
        return json.loads(result.stdout) if code == 0 else result.stderr

    return call


@pytest.mark.parametrize(
    ("quantity", "amount", "exact"),
    [
        ("0", "0.00", "0"),
        ("10000", "0.00", "0"),
        ("10001", "0.00", "0.001"),
        ("100000", "90.00", "90"),
        ("250000", "165.00", "165"),
    ],
)
def test_worked_example(run: Any, quantity: str, amount: str, exact: str) -> None:
    answer = run(GRADUATED, "--quantity", quantity)
    assert (answer["amount"], answer["exact"], answer["currency"]) == (amount, exact, "USD")


def test_lines_explain_the_amount(run: Any) -> None:
    (line,) = run(GRADUATED, "--quantity", "250000")["lines"]
    assert (line["description"], line["quantity"], line["exact"], line["amount"]) == (
        "Calls",
        "250000",
        "165",
        "165.00",
    )
    assert [tier["exact"] for tier in line["tiers"]] == ["0", "90", "75"]
    assert line["tiers"][1]["description"] == "above 10,000 to 100,000: 90,000 × 0.001 USD"


def test_billed_quantity_is_added_and_its_cost_taken_off(run: Any) -> None:
    answer = run(GRADUATED, "--quantity", "100000", "--billed-quantity", "100000")
    assert answer["amount"] == "50.00"
    assert [line["amount"] for line in answer["lines"]] == ["140.00", "-90.00"]


def test_billed_amount_replaces_the_cost(run: Any) -> None:
    answer = run(GRADUATED, "--quantity", "0", "--billed-quantity", "100000", "--billed-amount", "80.5")
    assert (answer["amount"], answer["exact"]) == ("9.50", "9.5")
    assert run(GRADUATED, "--quantity", "250000", "--billed-amount", "0")["amount"] == "165.00"


def test_negative_quantity_corrects_what_was_billed(run: Any) -> None:
    assert run(GRADUATED, "--quantity=-100000", "--billed-quantity", "200000")["amount"] == "-50.00"
    assert "zero or more" in run(GRADUATED, "--quantity=-1", code=2)


def test_json_file_with_tabs_and_bare_numbers(run: Any) -> None:
    price = '{\n\t"type": "per_unit",\n\t"unit": 0.001,\n\t"currency": "KWD"\n}'
    answer = run(price, "--quantity", "1500")
    assert (answer["amount"], answer["exact"], answer["currency"]) == ("1.500", "1.5", "KWD")


def test_events_of_a_percentage(run: Any) -> None:
    price = "{type: percentage, percent: '1.3', fixed: '2.0', free_units: 250, free_events: 2}"
    assert run(price, "--quantity", "800", "--events", "4")["amount"] == "11.15"
    assert run(price, "--quantity", "800")["amount"] == "7.15"
    more = run(price, "--quantity", "100", "--events", "1", "--billed-quantity", "800", "--billed-events", "4")
    assert more["amount"] == "3.30"


def test_standard_input_and_the_table_for_people(monkeypatch: pytest.MonkeyPatch) -> None:
    app = typer.Typer()
    app.callback()(lambda: None)
    rate.register(app)
    result = CliRunner().invoke(app, ["rate", "--price", "-", "--quantity", "250000"], input=GRADUATED)
    assert result.exit_code == 0
    assert "165.00 USD" in result.stdout


@pytest.mark.parametrize(
    ("price", "faults"),
    [
        ("type: graduatd", ["price.yaml:1: type: unknown price type 'graduatd'; did you mean \"graduated\"?"]),
        (
            "meter: calls",
            [
                "price.yaml:1: a price needs a type: flat, per_unit, graduated, volume, stairstep, package, percentage",
            ],
        ),
        ("type: per_unit", ["price.yaml:1: unit: is required"]),
        (
            "type: volume\ntiers:\n  - {up_to: 5, unti: 1}\n  - {unit: -3}\nconvert: {divide_by: 0}",
            [
                'price.yaml:3: tiers[0].unti: unknown field; did you mean "unit"?',
                "price.yaml:4: tiers[1].unit: must not be negative",
                "price.yaml:5: convert.divide_by: must be greater than 0",
            ],
        ),
        (
            "type: volume\ntiers: [{up_to: 5}, {up_to: 5}, {}]",
            ["price.yaml:2: tiers[1]: tier 2: up_to 5 must be above 5"],
        ),
        (
            "type: flat\namount: [",
            ["price.yaml:3: not valid YAML: "],
        ),
        ("type: flat\namount: 1\namount: 2", ["price.yaml:3: amount: given twice; first at price.yaml:2"]),
        (
            "type: flat\namount: 1\nname: ''\nmeter: '1 2'",
            ["price.yaml:3: name: must not", "price.yaml:4: meter: must be"],
        ),
        ("type: percentage\npercent: 1\nfree_events: -1", ["price.yaml:3: free_events: must be at least 0"]),
        ("type: flat\namount: ${NO_SUCH_NAME}", ["price.yaml:2: amount: the environment variable"]),
        ("- 1", ["price.yaml: must hold one price: a map with a type and its fields"]),
        ("", ["price.yaml: must hold one price: a map with a type and its fields"]),
    ],
)
def test_faults_name_file_line_and_field(run: Any, price: str, faults: list[str], tmp_path: Path) -> None:
    found = [fault.replace(f"{tmp_path}/", "") for fault in run(price, "--quantity", "1")]
    assert len(found) == len(faults)
    assert all(map(str.startswith, found, faults)), found


@pytest.mark.parametrize("quantity", ["", "1e3", "NaN", "Infinity", "1_000", "١", " 1", "0x10", "-"])
def test_a_quantity_is_a_plain_decimal(run: Any, quantity: str) -> None:
    assert "--quantity" in run(GRADUATED, f"--quantity={quantity}", code=2)


def test_the_currency_is_that_of_a_gateway_yaml_in_this_folder(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gateway.yaml").write_text(
        "billing: {currency: JPY}\nupstreams: {a: {targets: ['http://127.0.0.1:1']}}\n"
        "routes: {r: {match: {paths: [/]}, upstream: a, auth: none}}\n"
    )
    monkeypatch.chdir(tmp_path)
    assert run("type: per_unit\nunit: '0.5'\n", "--quantity", "3")["amount"] == "2"
    assert run("type: per_unit\nunit: '0.5'\ncurrency: USD\n", "--quantity", "3")["amount"] == "1.50"
