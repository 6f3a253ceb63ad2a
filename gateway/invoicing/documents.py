"""An invoice as a document: one content for the HTML page and the PDF; CSV for spreadsheets."""

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cache
from zoneinfo import ZoneInfo

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from gateway.billing.wording import grouped
from gateway.data_files import data_root
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
    """Everything that an invoice says, as text in reading order."""

    title: str
    kind: str
    invoice: Json
    seller: tuple[str, ...]
    customer: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]
    lines: tuple[DocumentLine, ...]
    sums: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]


def document_of(invoice: Json) -> Document:
    """The content of ``shapes.invoice_json``."""
    zone = ZoneInfo(invoice.get("timezone") or "UTC")
    seller = invoice["seller"]
    rest = [name for name in seller if name not in SELLER_ORDER]
    customer = invoice["customer"]
    number = invoice["number"] or "draft"
    facts = [("Period", _period(invoice["period"], zone))]
    if invoice["finalized_at"]:
        facts = [("Date", _day(invoice["finalized_at"], zone)), *facts, ("Due", _day(invoice["due_at"], zone))]
    if invoice["replaces"]:
        facts.append(("Replaces", invoice["replaces"]))
    return Document(
        title=f"Invoice {number}",
        kind="Invoice",
        invoice=invoice,
        seller=tuple(str(seller[name]) for name in (*SELLER_ORDER, *rest) if seller.get(name)),
        customer=tuple(text for text in (customer["name"], customer["id"], _tax_id(customer)) if text),
        facts=tuple(facts),
        lines=tuple(_line(line, zone) for line in invoice["lines"]),
        sums=tuple(_sums(invoice)),
        notes=tuple(_notes(invoice)),
    )


def invoice_html(invoice: Json, *, standalone: bool = True) -> str:
    """A page of its own; not ``standalone``, it links the stylesheet that the gateway serves."""
    css = (data_root() / "static" / "invoice.css").read_text() if standalone else ""
    found = document_of(invoice)
    fields = {name: getattr(found, name) for name in Document.__slots__}
    return _templates().get_template("invoice.html").render(css=css, **fields)


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


def _line(line: Json, zone: ZoneInfo) -> DocumentLine:
    counted = line["kind"] in ("usage", "correction") and line["quantity"] != "0"
    return DocumentLine(
        description=line["description"],
        period="" if line["period"] is None else _period(line["period"], zone),
        quantity=_number(line["quantity"]) if counted else "",
        amount=line["amount"]["amount"],
        steps=tuple(line["explained"]),
    )


def _sums(invoice: Json) -> Iterable[tuple[str, str]]:
    yield "Subtotal", invoice["subtotal"]["amount"]
    if Decimal(invoice["credited"]["amount"]):
        yield "Credit used", f"-{invoice['credited']['amount']}"
    for tax in invoice["taxes"]:
        inside = " (included)" if invoice["tax_inclusive"] else ""
        yield f"{tax['name']} {tax['percent']} %{inside}", tax["amount"]["amount"]
    if Decimal(invoice["paid"]["amount"]):
        yield "Total", invoice["total"]["amount"]
        yield "Paid", f"-{invoice['paid']['amount']}"
        yield "Due", "{amount} {currency}".format(**invoice["due"])
    else:
        yield "Total", "{amount} {currency}".format(**invoice["total"])


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


def _number(text: str) -> str:
    sign = "-" if text.startswith("-") else ""
    return sign + grouped(Decimal(text.removeprefix("-")))


def _inert(text: str) -> str:
    """A leading ``= + - @`` would be a formula to a spreadsheet."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text
