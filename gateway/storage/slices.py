"""Cutting a period into whole quarter hours, which rollups answer, and ragged ends, which rows answer."""

from dataclasses import dataclass

import sqlalchemy as sa

from gateway.metering.rollup import QUARTER_US


@dataclass(frozen=True, slots=True)
class Span:
    """``[start_us, end_us)``."""

    start_us: int
    end_us: int

    def holds(self, column: sa.ColumnElement[int]) -> sa.ColumnElement[bool]:
        """The condition that an instant lies within."""
        return sa.and_(column >= self.start_us, column < self.end_us)


@dataclass(frozen=True, slots=True)
class Slices:
    """The parts of a period: disjoint, together the whole."""

    quarters: Span | None
    rows: tuple[Span, ...]


def slices(start_us: int, end_us: int, *, rollups: bool = True) -> Slices:
    """Cut a period; without ``rollups`` all of it is read from rows."""
    if start_us >= end_us:
        return Slices(None, ())
    first, last = -(-start_us // QUARTER_US) * QUARTER_US, end_us // QUARTER_US * QUARTER_US
    if not rollups or first >= last:
        return Slices(None, (Span(start_us, end_us),))
    ragged = [span for span in (Span(start_us, first), Span(last, end_us)) if span.start_us < span.end_us]
    return Slices(Span(first, last), tuple(ragged))
