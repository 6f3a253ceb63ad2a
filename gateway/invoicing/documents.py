"""Invoices and credit notes as documents: one content for the HTML page and the PDF; CSV for spreadsheets."""

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cache
from zoneinfo import ZoneInfo

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from gateway.data_files import data_root
from gateway.invoicing.locales import figure as _figure
from gateway.invoicing.shapes import Json

SELLER_ORDER = ("name", "address", "city", "country", "email", "tax_id")
"""Known fields stand first, in this order; the configuration may add others."""


@dataclass(frozen=True, slots=True)
class DocumentLine:
    """A line as people read it."""

    description: str
    period: str
    quantity: str
    amount: str
    steps: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """Everything that an invoice or credit note says, as text in reading order. ``sums``: name, value, in bold."""

    title: str
    kind: str
    number: str
    made_at: str
    seller: tuple[str, ...]
    customer: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]
    lines: tuple[DocumentLine, ...]
    sums: tuple[tuple[str, str, bool], ...]
    notes: tuple[str, ...]


def document_of(invoice: Json) -> Document:
    """The content of ``shapes.invoice_json``."""
    zone, locale = _zone(invoice), invoice["locale"]
    facts = [("Period", _period(invoice["period"], zone))]
    if invoice["finalized_at"]:
        facts = [("Date", _day(invoice["finalized_at"], zone)), *facts, ("Due", _day(invoice["due_at"], zone))]
    if invoice["replaces"]:
        facts.append(("Replaces", invoice["replaces"]))
    return Document(
        title=f"Invoice {invoice['number'] or 'draft'}",
        kind="Invoice",
        number=invoice["number"] or "",
        made_at=invoice["finalized_at"] or invoice["created_at"],
        seller=_seller(invoice["seller"]),
        customer=_customer(invoice["customer"]),
        facts=tuple(facts),
        lines=tuple(_line(line, zone, locale) for line in invoice["lines"]),
        sums=tuple(_sums(invoice, locale)),
        notes=tuple(_notes(invoice)),
    )


def note_document(note: Json, invoice: Json) -> Document:
    """The content of ``shapes.note_json``; seller, customer, zone and language are those of the invoice it corrects."""
    zone, locale = _zone(invoice), invoice["locale"]
    amount = _figure(note["subtotal"]["amount"], locale)
    line = DocumentLine(f"Credit for invoice {invoice['number']}: {note['reason']}", "", "", amount, ())
    total = f"{_figure(note['total']['amount'], locale)} {note['total']['currency']}"
    sums = [("Subtotal", amount, False), ("Total credited", total, True)]
    if Decimal(note["tax"]["amount"]):
        names = ", ".join(f"{tax['name']} {tax['percent']} %" for tax in invoice["taxes"])
        inside = " (included)" if invoice["tax_inclusive"] else ""
        sums.insert(1, (f"{names or 'Tax'}{inside}", _figure(note["tax"]["amount"], locale), False))
    return Document(
        title=f"Credit note {note['number']}",
        kind="Credit note",
        number=note["number"],
        made_at=note["created_at"],
        seller=_seller(invoice["seller"]),
        customer=_customer(invoice["customer"]),
        facts=(("Date", _day(note["created_at"], zone)), ("Corrects invoice", invoice["number"])),
        lines=(line,),
        sums=tuple(sums),
        notes=(f"No tax: {invoice['exempt']}",) if invoice["exempt"] else (),
    )


def _zone(invoice: Json) -> ZoneInfo:
    return ZoneInfo(invoice.get("timezone") or "UTC")


def _seller(seller: Json) -> tuple[str, ...]:
    rest = [name for name in seller if name not in SELLER_ORDER]
    return tuple(str(seller[name]) for name in (*SELLER_ORDER, *rest) if seller.get(name))


def _customer(customer: Json) -> tuple[str, ...]:
    return tuple(text for text in (customer["name"], customer["id"], _tax_id(customer)) if text)


def document_html(found: Document, *, standalone: bool = True) -> str:
    """A page of its own; not ``standalone``, it links the stylesheet that the gateway serves."""
    css = (data_root() / "static" / "invoice.css").read_text() if standalone else ""
    fields = {name: getattr(found, name) for name in Document.__slots__}
    return _templates().get_template("invoice.html").render(css=css, **fields)


def note_csv(note: Json) -> str:
    """One row, and one for its tax: as ``invoice_csv``, with negative amounts, since a note gives back."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(("credit_note", "invoice", "tenant", "kind", "description", "date", "amount", "currency"))
    for kind, field in (("credit_note", "subtotal"), ("tax", "tax")):
        amount = Decimal(note[field]["amount"])
        if amount or kind == "credit_note":
            writer.writerow(
                (note["number"], note["invoice"], note["tenant"], kind, _inert(note["reason"]), note["created_at"],
                 f"{-amount:f}", note[field]["currency"])
            )  # fmt: skip
    return out.getvalue()


def invoice_csv(invoice: Json) -> str:
    """One row a line, then one a tax: machine-readable numbers, texts that no spreadsheet takes for formulas."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")  # RFC 4180
    writer.writerow(
        ("invoice", "tenant", "kind", "description", "meter", "period_start", "period_end", "quantity", "exact",
         "amount", "currency")
    )  # fmt: skip
    number, tenant, currency = invoice["number"] or invoice["id"], invoice["tenant"], invoice["total"]["currency"]
    for line in invoice["lines"]:
        period = line["period"] or {"start": "", "end": ""}
        writer.writerow(
            (number, tenant, line["kind"], _inert(line["description"]), line["meter"] or "", period["start"],
             period["end"], line["quantity"], line["exact"], line["amount"]["amount"], currency)
        )  # fmt: skip
    for tax in invoice["taxes"]:
        amount = tax["amount"]["amount"]
        name = _inert(f"{tax['name']} {tax['percent']} %")
        writer.writerow((number, tenant, "tax", name, "", "", "", "", "", amount, currency))
    return out.getvalue()


@cache
def _templates() -> Environment:
    loader = FileSystemLoader(data_root() / "templates" / "invoice")
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)


def _line(line: Json, zone: ZoneInfo, locale: str) -> DocumentLine:
    counted = line["kind"] in ("usage", "correction") and line["quantity"] != "0"
    return DocumentLine(
        description=line["description"],
        period="" if line["period"] is None else _period(line["period"], zone),
        quantity=_figure(line["quantity"], locale) if counted else "",
        amount=_figure(line["amount"]["amount"], locale),
        steps=tuple(line["explained"]),
    )


def _sums(invoice: Json, locale: str) -> Iterable[tuple[str, str, bool]]:
    def of(name: str, *, sign: str = "", currency: bool = False) -> str:
        money = invoice[name]
        return f"{sign}{_figure(money['amount'], locale)}{' ' + money['currency'] if currency else ''}"

    yield "Subtotal", of("subtotal"), False
    if Decimal(invoice["credited"]["amount"]):
        yield "Credit used", of("credited", sign="-"), False
    for tax in invoice["taxes"]:
        inside = " (included)" if invoice["tax_inclusive"] else ""
        yield f"{tax['name']} {tax['percent']} %{inside}", _figure(tax["amount"]["amount"], locale), False
    yield "Total", of("total", currency=True), True
    if Decimal(invoice["paid"]["amount"]):
        yield "Paid", of("paid", sign="-"), False
        yield "Due", of("due", currency=True), True


def _notes(invoice: Json) -> Iterable[str]:
    if invoice["exempt"]:
        yield f"No tax: {invoice['exempt']}"
    if invoice["state"] == "void":
        yield "This invoice is void."
    if Decimal(invoice["total"]["amount"]) < 0:
        yield "The amount is kept as credit for the next invoices."


def _tax_id(customer: Json) -> str:
    return f"Tax number {customer['tax_id']}" if customer.get("tax_id") else ""


def _period(period: Json, zone: ZoneInfo) -> str:
    return f"{_day(period['start'], zone)} to {_day(period['end'], zone)}"


def _day(text: str, zone: ZoneInfo) -> str:
    return datetime.fromisoformat(text).astimezone(zone).strftime("%-d %B %Y")


def _inert(text: str) -> str:
    """A leading ``= + - @`` would be a formula to a spreadsheet."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text
