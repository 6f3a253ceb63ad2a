"""Invoices as documents: hostile texts stay texts, missing glyphs are told, the same invoice gives the same bytes."""

import csv
import io
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import GatewayError
from gateway.invoicing.documents import document_html, document_of, invoice_csv
from gateway.invoicing.forms import render_note
from gateway.invoicing.locales import figure
from gateway.invoicing.pdf import _Writer, document_pdf
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
    page = document_html(document_of(shape))
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
    content, warnings = document_pdf(document_of(shape))
    assert content.startswith(b"%PDF-")
    assert warnings == ()
    assert document_pdf(document_of(shape))[0] == content


def test_a_missing_glyph_is_a_warning(shape: dict[str, Any]) -> None:
    shape["customer"]["name"] = "Acme \U0010fffd"
    writer = _Writer(())
    assert writer._shown("Straße 日") == "Straße ?"
    assert writer.missing == {"日"}
    _, warnings = document_pdf(document_of(shape))
    assert [text for text in warnings if "U+10FFFD" in text]


def test_a_broken_font_is_named(shape: dict[str, Any], tmp_path: Path) -> None:
    font = tmp_path / "broken.ttf"
    font.write_bytes(b"not a font")
    with pytest.raises(GatewayError, match=r"broken\.ttf"):
        document_pdf(document_of(shape), [font])


@pytest.mark.parametrize(
    ("locale", "text"),
    [("", "-1,234,567.50"), ("en-GB", "-1,234,567.50"), ("de", "-1.234.567,50"), ("de-CH", "-1’234’567.50"),
     ("fr-FR", "-1\u00a0234\u00a0567,50"), ("tlh", "-1,234,567.50")],
)  # fmt: skip
def test_figures_are_written_as_the_tenant_reads_them(locale: str, text: str, shape: dict[str, Any]) -> None:
    assert figure("-1234567.50", locale) == text
    page = document_html(document_of({**shape, "locale": locale}))
    assert figure("250000", locale) in page


async def test_a_credit_note_is_a_document_in_all_forms(bench: Any) -> None:
    tax = {"rates": {"DE": [{"name": "VAT", "percent": "19"}]}, "region": "DE"}
    bench.configure(billing={**bench.snapshot.source["billing"], "tax": tax, "seller": {"name": "Example AG"}})
    await bench.at("2025-01-31T00:00:00")
    row = (await bench.invoices("acme"))[0][0]
    note = await bench.desk.credit_note(row.id, "fin", "=outage", amount=Decimal("11.90"))
    page = render_note(note, row, "html").body.decode()
    for text in ("Credit note", note.number, row.number, "Example AG", "VAT 19 %", "1.90", "11.90 USD"):
        assert text in page
    assert render_note(note, row, "pdf").body == render_note(note, row, "pdf").body
    rows = list(csv.DictReader(io.StringIO(render_note(note, row, "csv").body.decode())))
    assert [(one["kind"], one["amount"], one["description"]) for one in rows] == [
        ("credit_note", "-10.00", "'=outage"), ("tax", "-1.90", "'=outage")
    ]  # fmt: skip
