"""Cutting a period into whole quarter hours, which rollups answer, and ragged ends, which rows answer."""

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


async def rounded(
    connection: AsyncConnection, where: sa.ColumnElement[bool], end_us: int, at_us: sa.ColumnElement[int] | None = None
) -> int:
    """The end of a period, moved up to the next quarter hour when no row lies between.

    "Until now" is what pages ask: then the rollup of the quarter hour under way is exact too, and no row is read.
    ``at_us`` is the column that the rollup goes by; a row's own time unless given.
    """
    after = -(-end_us // QUARTER_US) * QUARTER_US
    time = schema.calls.c.at_us if at_us is None else at_us
    beyond = sa.select(time).where(where, time >= end_us, time < after).limit(1)
    if end_us == after or (await connection.execute(beyond)).first():
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
