"""The forms in which an invoice leaves the gateway: PDF, HTML, CSV. The same for commands, API and pages."""

import asyncio
import re
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, assert_never

from gateway.invoicing.documents import invoice_csv, invoice_html
from gateway.invoicing.shapes import Json, invoice_json
from gateway.storage.billing_values import InvoiceRow, LineRow

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
    filename = f"{re.sub(r'[^A-Za-z0-9_.-]', '_', row.number or row.id)}.{form}"
    match form:
        case "html":
            return Rendered(
                invoice_html(shape, standalone=standalone).encode(), f"{MEDIA_TYPES[form]}; charset=utf-8", filename
            )
        case "csv":
            return Rendered(invoice_csv(shape).encode(), f"{MEDIA_TYPES[form]}; charset=utf-8", filename)
        case "pdf":
            from gateway.invoicing.pdf import invoice_pdf  # slow to import, and seldom needed

            body, warnings = invoice_pdf(shape, fonts)
            return Rendered(body, MEDIA_TYPES[form], filename, warnings)
        case _:
            assert_never(form)


async def render_aside(
    row: InvoiceRow, lines: Iterable[LineRow], form: Form, fonts: Sequence[Path] = (), *, standalone: bool = True
) -> Rendered:
    """The same without holding up the loop."""
    work = partial(render_invoice, row, lines, form, fonts, standalone=standalone)
    return await asyncio.get_running_loop().run_in_executor(_SETTING, work)
