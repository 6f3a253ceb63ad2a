"""Which stored sums add up to a period: whole days where they can, quarter hours at the ends, nearer days taken apart.

A period that begins at 18:15 UTC begins at the midnight after, and 23 quarter hours before it; one that begins at 06:00
begins at the midnight before, less 24 quarter hours. So a period of any zone reads at most 48 quarter hours an end.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles

from gateway.metering.rollup import DAY_US
from gateway.storage.slices import Span


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of the sum number ``place``: what lies within ``span`` is added, or with ``sign`` -1 taken away."""

    place: int
    span: Span
    sign: int = 1


@dataclass(slots=True)
class Pieces:
    """What to read from sums of days, and what from sums of quarter hours."""

    days: list[Piece]
    quarters: list[Piece]


def pieces_of(spans: Sequence[tuple[int, Span]]) -> Pieces:
    """Cut spans of whole quarter hours; each comes with the number of the sum that it is part of."""
    found = Pieces([], [])
    for place, span in spans:
        first, last = _nearest_day(span.start_us), _nearest_day(span.end_us)
        if first >= last:
            found.quarters.append(Piece(place, span))
            continue
        found.days.append(Piece(place, Span(first, last)))
        found.quarters += (Piece(place, part, sign) for part, sign in _ends(span, first, last))
    return found


def _nearest_day(at_us: int) -> int:
    return (at_us + DAY_US // 2) // DAY_US * DAY_US


def _ends(span: Span, first: int, last: int) -> Iterator[tuple[Span, int]]:
    """What the days ``[first, last)`` lack of a span, and what they have too much."""
    for outer, inner, inside in ((span.start_us, first, 1), (last, span.end_us, 1)):
        if outer < inner:
            yield Span(outer, inner), inside
        elif inner < outer:
            yield Span(inner, outer), -inside


class _Each(sa.sql.functions.GenericFunction[Any]):
    """The elements of a JSON array as rows."""

    name = "each"
    inherit_cache = True


class _At(sa.sql.functions.GenericFunction[int]):
    """The whole number at a place of a JSON array."""

    name = "at"
    type = sa.BigInteger()
    inherit_cache = True


@compiles(_Each, "sqlite")
def _(element: _Each, compiler: sa.sql.compiler.SQLCompiler, **how: Any) -> str:
    return f"json_each({compiler.process(element.clauses, **how)})"


@compiles(_Each, "postgresql")
def _(element: _Each, compiler: sa.sql.compiler.SQLCompiler, **how: Any) -> str:
    return f"json_array_elements(CAST({compiler.process(element.clauses, **how)} AS json))"


@compiles(_At, "sqlite")
def _(element: _At, compiler: sa.sql.compiler.SQLCompiler, **how: Any) -> str:
    value, place = (compiler.process(clause, **how) for clause in element.clauses)
    return f"json_extract({value}, '$[' || {place} || ']')"


@compiles(_At, "postgresql")
def _(element: _At, compiler: sa.sql.compiler.SQLCompiler, **how: Any) -> str:
    value, place = (compiler.process(clause, **how) for clause in element.clauses)
    return f"CAST({value} ->> {place} AS bigint)"


def table_of(pieces: Sequence[Piece]) -> sa.CTE:
    """The pieces as a table to join: one query whatever their number, and one statement to the engines' caches."""
    rows = [(piece.place, piece.span.start_us, piece.span.end_us, piece.sign) for piece in pieces]
    each = _Each(sa.literal(json.dumps(rows), sa.Text)).table_valued("value")
    columns = [
        _At(each.c.value, sa.literal_column(str(place))).label(name)
        for place, name in enumerate(("place", "start_us", "end_us", "sign"))
    ]
    # Materialized: a row's figures are taken from the text once, not for each row that they are joined with.
    return sa.select(*columns).cte("piece").prefix_with("MATERIALIZED")
