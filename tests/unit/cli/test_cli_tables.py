"""Tables on standard output that is no terminal."""

import pytest

from gateway.cli.common import print_table


def test_columns_line_up_whatever_the_cells_look_like(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("path", "n"), [("/a[bold]", 1), ("/天", 1000)], right=("n",))
    assert capsys.readouterr().out == "path         n\n/a[bold]     1\n/天       1000\n"


def test_a_hundred_thousand_rows_are_no_matter(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("a", "b"), ((number, "x") for number in range(100_000)))
    assert capsys.readouterr().out.count("\n") == 100_001
