"""Billable units up to a watermark: what an invoice counts, and what `verify` counts again (SEMANTICS §29)."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.storage import schema
from gateway.storage.account_schema import events
from gateway.storage.events import Aggregate, event_quantities
from gateway.storage.ports import Scope
from gateway.storage.scoping import within
from gateway.storage.slices import Span, slices


async def units_until(
    connection: AsyncConnection,
    scope: Scope,
    tenant: str,
    span: Span,
    watermark: int,
    aggregates: Mapping[str, Aggregate],
    nothing_later: bool,
) -> dict[str, int]:
    """Units by meter in ``span``, of records and events posted up to ``watermark``.

    Of calls, whole quarter hours are read from rollups, less the rows that were posted later; ragged ends are read
    from rows. ``aggregates`` are the meters that events count, and how; ``nothing_later``: the view ends there.
    """
    cut = slices(span.start_us, span.end_us)
    sums: dict[str, int] = {}
    rows, units = schema.calls.c, schema.rollup_units.c
    mine = within(scope, rows.tenant) & (rows.tenant == tenant) & rows.billable
    if cut.quarters is not None:
        where = (units.tenant == tenant, cut.quarters.holds(units.quarter_us))
        total = sa.select(units.meter, sa.func.sum(units.units)).where(within(scope, units.tenant), *where)
        for meter, amount in await connection.execute(total.group_by(units.meter)):
            sums[meter] = int(amount)
        if not nothing_later:
            await _add(connection, sums, -1, mine, cut.quarters.holds(rows.at_us), rows.posting > watermark)
    for ragged in cut.rows:
        await _add(connection, sums, 1, mine, ragged.holds(rows.at_us), rows.posting <= watermark)
    bounds = (span.start_us, span.end_us)
    for meter, amount in (await event_quantities(connection, scope, aggregates, tenant, *bounds, watermark)).items():
        sums[meter] = sums.get(meter, 0) + amount
    return {meter: amount for meter, amount in sums.items() if amount}


async def late_since(connection: AsyncConnection, scope: Scope, tenant: str, span: Span, watermark: int) -> int | None:
    """The oldest time of a record or event in ``span`` that was posted after ``watermark``; None without one."""
    oldest: int | None = None
    for table in (schema.calls.c, events.c):
        where = (table.tenant == tenant, span.holds(table.at_us), table.posting > watermark)
        query = sa.select(sa.func.min(table.at_us)).where(within(scope, table.tenant), *where)
        found = (await connection.execute(query)).scalar()
        if found is not None:
            oldest = int(found) if oldest is None else min(oldest, int(found))
    return oldest


async def _add(connection: AsyncConnection, sums: dict[str, int], sign: int, *where: sa.ColumnElement[bool]) -> None:
    """Add the units of billable rows; the caller's conditions hold the scope. Equal texts are added up by the store."""
    rows = schema.calls.c
    found: Iterable[Any] = await connection.execute(
        sa.select(rows.units, sa.func.count()).where(*where).group_by(rows.units)
    )
    for text, count in found:
        for meter, amount in json.loads(text).items():
            sums[meter] = sums.get(meter, 0) + sign * amount * count
