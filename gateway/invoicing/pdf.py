"""An invoice or credit note as PDF. A character that no font has is replaced and told about: it is never an empty box.

Fonts: ``billing.pdf_fonts``, else fontconfig's, else the built-in one, which knows Latin-1.
"""

import shutil
import subprocess
from collections.abc import Container, Sequence
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import cast

from fpdf import FPDF
from fpdf.enums import XPos, YPos
from fpdf.fonts import TTFFont

from gateway.errors import GatewayError
from gateway.invoicing.documents import Document

BUILT_IN = "Helvetica"
MISSING = "?"
LINE, SMALL, WIDTH = 5.5, 4.5, 170.0


def document_pdf(found: Document, fonts: Sequence[Path] = ()) -> tuple[bytes, tuple[str, ...]]:
    """The document, and warnings: one for each character that no font has. Raises ``GatewayError`` for a bad font."""
    writer = _Writer(fonts or system_fonts())
    writer.write(found)
    return writer.done(found), tuple(f"no font has {char!r} (U+{ord(char):04X})" for char in sorted(writer.missing))


@cache
def system_fonts() -> tuple[Path, ...]:
    """The font that fontconfig chooses for plain text, if it is there and a file that can be embedded."""
    if shutil.which("fc-match") is None:
        return ()
    asked = ["fc-match", "-f", "%{file}", "sans"]
    try:
        done = subprocess.run(asked, capture_output=True, text=True, timeout=10, check=False)  # noqa: S603 - fixed words
    except (OSError, subprocess.TimeoutExpired):
        return ()
    path = Path(done.stdout.strip())
    return (path,) if path.suffix.lower() in (".ttf", ".otf") and path.is_file() else ()


class _Writer:
    """A page under construction."""

    def __init__(self, fonts: Sequence[Path]) -> None:
        self.missing: set[str] = set()
        self._pdf = FPDF(format="A4")
        self._pdf.set_margins(20, 20)
        self._pdf.set_auto_page_break(True, 20)
        self._family, self._glyphs = BUILT_IN, list[Container[int]]()
        for place, font in enumerate(fonts):
            self._add(font, f"f{place}")
        if fonts:
            self._family = "f0"
            self._pdf.set_fallback_fonts([f"f{place}" for place in range(1, len(fonts))])
        self._pdf.add_page()

    def write(self, found: Document) -> None:
        """Everything, from top to bottom."""
        for place, text in enumerate(found.seller):
            self._text(text, 12 if place == 0 else 10)
        self._pdf.ln(LINE)
        self._text(f"{found.kind} {found.number or '(draft, not final)'}", 16, height=9)
        for name, value in found.facts:
            self._text(f"{name}: {value}", 10)
        self._pdf.ln(LINE)
        for text in found.customer:
            self._text(text, 10)
        self._pdf.ln(LINE)
        self._row("Description", "Quantity", "Amount", 9)
        self._rule()
        for line in found.lines:
            self._row(line.description, line.quantity, line.amount, 10)
            for text in (line.period, *line.steps):
                if text:
                    self._text(f"   {text}", 8, height=SMALL)
        self._rule()
        for name, value, strong in found.sums:
            if strong:
                self._rule()
            self._row("", name, value, 11 if strong else 10)
        self._pdf.ln(LINE)
        for text in found.notes:
            self._text(text, 9)

    def done(self, found: Document) -> bytes:
        """The finished file: the same document, the same bytes."""
        self._pdf.set_creation_date(datetime.fromisoformat(found.made_at))
        self._pdf.set_title(found.title)
        return bytes(self._pdf.output())

    def _add(self, font: Path, family: str) -> None:
        try:
            self._pdf.add_font(family, fname=font)
        except Exception as error:  # fontTools raises whatever a broken file leads to
            raise GatewayError(f"billing.pdf_fonts: {font} cannot be used: {error}") from error
        font_face = self._pdf.fonts[family]
        assert isinstance(font_face, TTFFont)
        self._glyphs.append(font_face.cmap)

    def _text(self, text: str, size: float, height: float = LINE) -> None:
        self._pdf.set_font(self._family, size=size)
        self._pdf.multi_cell(WIDTH, height, self._shown(text), align="L", new_x=XPos.LMARGIN, new_y=YPos.NEXT)

    def _row(self, left: str, middle: str, right: str, size: float) -> None:
        self._pdf.set_font(self._family, size=size)
        lines = self._wrapped(left) if left else [""]
        for place, text in enumerate(lines):
            last = place == len(lines) - 1
            self._pdf.cell(90, LINE, text)
            self._pdf.cell(45, LINE, self._shown(middle) if last else "", align="R")
            self._pdf.cell(35, LINE, right if last else "", align="R", new_x=XPos.LMARGIN, new_y=YPos.NEXT)

    def _wrapped(self, text: str) -> list[str]:
        found = self._pdf.multi_cell(90, LINE, self._shown(text), dry_run=True, output="LINES")
        return cast(list[str], found)

    def _rule(self) -> None:
        y = self._pdf.get_y() + 1
        self._pdf.line(20, y, 20 + WIDTH, y)
        self._pdf.ln(2.5)

    def _shown(self, text: str) -> str:
        return "".join(char if self._has(char) else self._replaced(char) for char in text)

    def _has(self, char: str) -> bool:
        if char == " ":
            return True
        if self._glyphs:
            return any(ord(char) in glyphs for glyphs in self._glyphs)
        return ord(char) < 256 and char.isprintable()

    def _replaced(self, char: str) -> str:
        if char in ("\n", "\t", "\r"):
            return " "
        if not self._glyphs and char in "×…":
            return {"×": "x", "…": "..."}[char]
        self.missing.add(char)
        return MISSING
