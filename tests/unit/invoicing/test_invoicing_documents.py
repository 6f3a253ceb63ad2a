"""Invoices as documents: hostile texts stay texts, missing glyphs are told, the same invoice gives the same bytes."""

import csv
import io
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import GatewayError
from gateway.invoicing.documents import invoice_csv, invoice_html
from gateway.invoicing.pdf import _Writer, invoice_pdf
from gateway.invoicing.shapes import invoice_json


@pytest.fixture
async def shape(bench: Any) -> dict[str, Any]:
    seller = {"name": "<b>Exämple</b> AG", "address": "Straße 1", "vat": "CHE-1"}
    bench.configure(billing={**bench.snapshot.source["billing"], "seller": seller})
    await bench.call("acme", "2025-02-03T10:00:00", 250_000)
    await bench.at("2025-03-01T01:00:00")
    row, lines = (await bench.invoices("acme"))[-1]
    return invoice_json(row, lines)


def test_the_page_says_it_all_and_escapes(shape: dict[str, Any]) -> None:
    page = invoice_html(shape)
    assert "&lt;b&gt;Exämple&lt;/b&gt; AG" in page
    assert "<b>" not in page
    for text in ("250,000", "165.00", "264.00 USD", "above 10,000 to 100,000: 90,000 × 0.001 USD", shape["number"]):
        assert text in page


def test_csv_has_a_row_a_line_and_no_formulas(shape: dict[str, Any]) -> None:
    shape["lines"][0]["description"] = "=HYPERLINK(1)"
    rows = list(csv.DictReader(io.StringIO(invoice_csv(shape))))
    assert [(row["kind"], row["quantity"], row["amount"]) for row in rows] == [
        ("usage", "250000", "165.00"),
        ("fee", "0", "99.00"),
    ]
    assert rows[0]["description"] == "'=HYPERLINK(1)"


def test_pdf_is_reproducible_and_whole(shape: dict[str, Any]) -> None:
    content, warnings = invoice_pdf(shape)
    assert content.startswith(b"%PDF-")
    assert warnings == ()
    assert invoice_pdf(shape)[0] == content


def test_a_missing_glyph_is_a_warning(shape: dict[str, Any]) -> None:
    shape["customer"]["name"] = "Acme \U0010fffd"
    writer = _Writer(())
    assert writer._shown("Straße 日") == "Straße ?"
    assert writer.missing == {"日"}
    _, warnings = invoice_pdf(shape)
    assert [text for text in warnings if "U+10FFFD" in text]


def test_a_broken_font_is_named(shape: dict[str, Any], tmp_path: Path) -> None:
    font = tmp_path / "broken.ttf"
    font.write_bytes(b"not a font")
    with pytest.raises(GatewayError, match=r"broken\.ttf"):
        invoice_pdf(shape, [font])
