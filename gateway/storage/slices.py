"""Cutting a period into whole quarter hours, which rollups answer, and ragged ends, which rows answer."""

from collections.abc import Callable
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.metering.rollup import QUARTER_US
from gateway.storage import schema


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


Conditions = Callable[[sa.FromClause], list[sa.ColumnElement[bool]]]
"""What is asked of rows, and of seals, which stand for rows: ``calls`` and ``seals`` have these columns in common."""


async def rounded(connection: AsyncConnection, matching: Conditions, end_us: int, column: str = "at_us") -> int:
    """The end of a period, moved up to the next quarter hour when no row lies between, and no seal.

    "Until now" is what pages ask: then the rollup of the quarter hour under way is exact too, and no row is read.
    ``column`` is the one that the rollup goes by.
    """
    after = -(-end_us // QUARTER_US) * QUARTER_US
    if end_us == after:
        return end_us
    for table in (schema.calls, schema.seals):
        beyond = Span(end_us, after).holds(table.c[column])
        if (await connection.execute(sa.select(sa.literal(1)).where(*matching(table), beyond).limit(1))).first():
            return end_us
    return after


def slices(start_us: int, end_us: int, *, rollups: bool = True) -> Slices:
    """Cut a period; without ``rollups`` all of it is read from rows."""
    if start_us >= end_us:
        return Slices(None, ())
    first, last = -(-start_us // QUARTER_US) * QUARTER_US, end_us // QUARTER_US * QUARTER_US
    if not rollups or first >= last:
        return Slices(None, (Span(start_us, end_us),))
    ragged = [span for span in (Span(start_us, first), Span(last, end_us)) if span.start_us < span.end_us]
    return Slices(Span(first, last), tuple(ragged))
