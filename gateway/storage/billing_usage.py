"""Billable units up to a watermark: what an invoice counts, and what `verify` counts again (SEMANTICS §29)."""

import json
from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.storage import schema
from gateway.storage.ports import Scope
from gateway.storage.scoping import within
from gateway.storage.slices import Span, slices


async def units_until(
    connection: AsyncConnection, scope: Scope, tenant: str, start_us: int, end_us: int, watermark: int
) -> dict[str, int]:
    """Units by meter in ``[start, end)``, of records posted up to ``watermark``.

    Whole quarter hours are read from rollups, less the rows that were posted later; ragged ends are read from rows.
    """
    cut = slices(start_us, end_us)
    sums: dict[str, int] = {}
    rows, units = schema.calls.c, schema.rollup_units.c
    mine = within(scope, rows.tenant) & (rows.tenant == tenant) & rows.billable
    if cut.quarters is not None:
        where = (units.tenant == tenant, cut.quarters.holds(units.quarter_us))
        total = sa.select(units.meter, sa.func.sum(units.units)).where(within(scope, units.tenant), *where)
        for meter, amount in await connection.execute(total.group_by(units.meter)):
            sums[meter] = int(amount)
        await _add(connection, sums, -1, mine, cut.quarters.holds(rows.at_us), rows.posting > watermark)
    for span in cut.rows:
        await _add(connection, sums, 1, mine, span.holds(rows.at_us), rows.posting <= watermark)
    return {meter: amount for meter, amount in sums.items() if amount}


async def late_since(connection: AsyncConnection, scope: Scope, tenant: str, span: Span, watermark: int) -> int | None:
    """The oldest time of a record in ``span`` that was posted after ``watermark``; None without one."""
    rows = schema.calls.c
    where = (rows.tenant == tenant, span.holds(rows.at_us), rows.posting > watermark)
    query = sa.select(sa.func.min(rows.at_us)).where(within(scope, rows.tenant), *where)
    found = (await connection.execute(query)).scalar()
    return None if found is None else int(found)


async def _add(connection: AsyncConnection, sums: dict[str, int], sign: int, *where: sa.ColumnElement[bool]) -> None:
    """Add the units of billable rows; the caller's conditions hold the scope. Equal texts are added up by the store."""
    rows = schema.calls.c
    found: Iterable[Any] = await connection.execute(
        sa.select(rows.units, sa.func.count()).where(*where).group_by(rows.units)
    )
    for text, count in found:
        for meter, amount in json.loads(text).items():
            sums[meter] = sums.get(meter, 0) + sign * amount * count
