"""The forms in which an invoice leaves the gateway: PDF, HTML, CSV. The same for commands, API and pages."""

import asyncio
import re
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, assert_never

from gateway.invoicing.documents import Document, document_html, document_of, invoice_csv, note_csv, note_document
from gateway.invoicing.shapes import Json, invoice_json, note_json
from gateway.storage.billing_values import CreditNoteRow, InvoiceRow, LineRow

Form = Literal["pdf", "html", "csv"]
MEDIA_TYPES: dict[Form, str] = {"pdf": "application/pdf", "html": "text/html", "csv": "text/csv"}
_SETTING = ThreadPoolExecutor(2, thread_name_prefix="document")
"""Setting a page takes a tenth of a second: two at a time leave the process to others."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """A document's bytes, under which name it is kept, and what there is to be said about it."""

    body: bytes
    content_type: str
    filename: str
    warnings: tuple[str, ...] = ()

    def headers(self, *, shown: bool) -> dict[str, str]:
        """``shown``: a browser opens it instead of keeping it. The name has no character that needs quoting."""
        kind = "inline" if shown else "attachment"
        return {"Content-Type": self.content_type, "Content-Disposition": f'{kind}; filename="{self.filename}"'}


def render_invoice(
    row: InvoiceRow, lines: Iterable[LineRow], form: Form, fonts: Sequence[Path] = (), *, standalone: bool = True
) -> Rendered:
    """An invoice in one of its forms; ``standalone`` HTML brings its style along."""
    shape: Json = invoice_json(row, lines)
    return _render(document_of(shape), partial(invoice_csv, shape), row.number or row.id, form, fonts, standalone)


def render_note(
    note: CreditNoteRow, row: InvoiceRow, form: Form, fonts: Sequence[Path] = (), *, standalone: bool = True
) -> Rendered:
    """A credit note in the same forms; ``row`` is the invoice that it corrects."""
    shape: Json = note_json(note)
    found = note_document(shape, invoice_json(row, ()))
    return _render(found, partial(note_csv, shape), note.number, form, fonts, standalone)


def _render(
    found: Document, table: Callable[[], str], name: str, form: Form, fonts: Sequence[Path], standalone: bool
) -> Rendered:
    filename = f"{re.sub(r'[^A-Za-z0-9_.-]', '_', name)}.{form}"
    match form:
        case "html":
            page = document_html(found, standalone=standalone)
            return Rendered(page.encode(), f"{MEDIA_TYPES[form]}; charset=utf-8", filename)
        case "csv":
            return Rendered(table().encode(), f"{MEDIA_TYPES[form]}; charset=utf-8", filename)
        case "pdf":
            from gateway.invoicing.pdf import document_pdf  # slow to import, and seldom needed

            body, warnings = document_pdf(found, fonts)
            return Rendered(body, MEDIA_TYPES[form], filename, warnings)
        case _:
            assert_never(form)


async def render_aside(
    row: InvoiceRow, lines: Iterable[LineRow], form: Form, fonts: Sequence[Path] = (), *, standalone: bool = True
) -> Rendered:
    """An invoice's document without holding up the loop."""
    return await _aside(partial(render_invoice, row, lines, form, fonts, standalone=standalone))


async def render_note_aside(
    note: CreditNoteRow, row: InvoiceRow, form: Form, fonts: Sequence[Path] = (), *, standalone: bool = True
) -> Rendered:
    """A credit note's, likewise."""
    return await _aside(partial(render_note, note, row, form, fonts, standalone=standalone))


async def _aside(work: Callable[[], Rendered]) -> Rendered:
    return await asyncio.get_running_loop().run_in_executor(_SETTING, work)
