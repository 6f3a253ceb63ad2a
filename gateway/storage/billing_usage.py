"""Billable units up to a watermark: what an invoice counts, and what `verify` counts again (SEMANTICS §29)."""

import json
from collections.abc import Iterator, Mapping, Sequence

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.metering.rollup import BY_DAY, BY_TENANT, DAY_US
from gateway.storage import schema
from gateway.storage.account_schema import event_seals, events
from gateway.storage.events import Aggregate, event_quantities
from gateway.storage.ports import Scope
from gateway.storage.scoping import within
from gateway.storage.slices import Span, slices


async def units_until(
    connection: AsyncConnection,
    scope: Scope,
    owners: Sequence[str],
    span: Span,
    watermark: int,
    nothing_later: bool,
) -> dict[str, dict[str, int]]:
    """Units of calls by tenant and meter in ``span``, of records posted up to ``watermark``.

    Whole days and quarter hours are read from rollups, less the rows that were posted later; ragged ends are read from
    rows. ``nothing_later``: the view ends at the watermark.
    """
    cut = slices(span.start_us, span.end_us)
    found: dict[str, dict[str, int]] = {tenant: {} for tenant in owners}
    units = schema.rollup_unit_sums.c
    if cut.quarters is not None:
        for kind, part in _coarse(cut.quarters):
            where = (units.tenant.in_(owners), units.kind == kind, part.holds(units.quarter_us))
            sums = sa.select(units.tenant, units.meter, sa.func.sum(units.units)).where(within(scope, units.tenant))
            for tenant, meter, amount in await connection.execute(
                sums.where(*where).group_by(units.tenant, units.meter)
            ):
                found[tenant][meter] = found[tenant].get(meter, 0) + int(amount)
        if not nothing_later:
            await _add(connection, scope, found, -1, cut.quarters, (watermark, None))
    for ragged in cut.rows:
        await _add(connection, scope, found, 1, ragged, (0, watermark))
    return {tenant: _some(sums) for tenant, sums in found.items()}


async def units_listed(
    connection: AsyncConnection, scope: Scope, tenant: str, span: Span, posted: tuple[int, int]
) -> dict[str, int]:
    """Units by meter of the billable rows in ``span`` posted above the first up to the second sequence."""
    found: dict[str, dict[str, int]] = {tenant: {}}
    await _add(connection, scope, found, 1, span, posted)
    return _some(found[tenant])


def _coarse(span: Span) -> Iterator[tuple[int, Span]]:
    """A span of whole quarter hours as whole days in UTC, and the quarter hours before and after them."""
    first, last = -(-span.start_us // DAY_US) * DAY_US, span.end_us // DAY_US * DAY_US
    if first >= last:
        yield BY_TENANT, span
        return
    for kind, part in (
        (BY_TENANT, Span(span.start_us, first)),
        (BY_DAY, Span(first, last)),
        (BY_TENANT, Span(last, span.end_us)),
    ):
        if part.start_us < part.end_us:
            yield kind, part


async def with_events(
    connection: AsyncConnection,
    scope: Scope,
    units: Mapping[str, int],
    tenant: str,
    span: Span,
    watermark: int,
    aggregates: Mapping[str, Aggregate],
) -> dict[str, int]:
    """The units and what meters make of events from outside; ``aggregates`` says which count them, and how."""
    sums, bounds = dict(units), (span.start_us, span.end_us)
    for meter, amount in (await event_quantities(connection, scope, aggregates, tenant, *bounds, watermark)).items():
        sums[meter] = sums.get(meter, 0) + amount
    return _some(sums)


def _some(sums: Mapping[str, int]) -> dict[str, int]:
    """Without zeros, in the order of their names: engines answer in orders of their own."""
    return {meter: sums[meter] for meter in sorted(sums) if sums[meter]}


async def tenants_with_events(
    connection: AsyncConnection, scope: Scope, owners: Sequence[str], span: Span, meters: Sequence[str]
) -> set[str]:
    """Which of the tenants have any event of these meters in ``span``."""
    if not meters:
        return set()
    found: set[str] = set()
    for table in (events.c, event_seals.c):
        where = (table.tenant.in_(owners), table.meter.in_(meters), span.holds(table.at_us))
        query = sa.select(table.tenant).where(within(scope, table.tenant), *where).distinct()
        found.update((await connection.execute(query)).scalars())
    return found


async def late_since(connection: AsyncConnection, scope: Scope, tenant: str, span: Span, watermark: int) -> int | None:
    """The oldest time of a record or event in ``span`` that was posted after ``watermark``; None without one."""
    oldest: int | None = None
    for table in (schema.calls.c, schema.seals.c, events.c, event_seals.c):
        where = (table.tenant == tenant, span.holds(table.at_us), table.posting > watermark)
        query = sa.select(sa.func.min(table.at_us)).where(within(scope, table.tenant), *where)
        found = (await connection.execute(query)).scalar()
        if found is not None:
            oldest = int(found) if oldest is None else min(oldest, int(found))
    return oldest


async def tenants_late(
    connection: AsyncConnection, scope: Scope, owners: Sequence[str], span: Span, watermark: int
) -> set[str]:
    """Which of the tenants have a record or event in ``span`` that was posted after ``watermark``."""
    found: set[str] = set()
    for table in (schema.calls.c, events.c):
        where = (table.tenant.in_(owners), span.holds(table.at_us), table.posting > watermark)
        query = sa.select(table.tenant).where(within(scope, table.tenant), *where).distinct()
        found |= set((await connection.execute(query)).scalars())
    return found


async def _add(
    connection: AsyncConnection,
    scope: Scope,
    found: dict[str, dict[str, int]],
    sign: int,
    span: Span,
    posted: tuple[int, int | None],
) -> None:
    """Add the units of the tenants' billable rows posted above the first and up to the second sequence, and of the
    seals that stand for such. Equal texts are added up by the store."""
    after, until = posted
    for rows in (schema.calls.c, schema.seals.c):
        where = [rows.tenant.in_(found), rows.billable, span.holds(rows.at_us), rows.posting > after]
        if until is not None:
            where.append(rows.posting <= until)
        query = sa.select(rows.tenant, rows.units, sa.func.count()).where(within(scope, rows.tenant), *where)
        for tenant, text, count in await connection.execute(query.group_by(rows.tenant, rows.units)):
            sums = found[tenant]
            for meter, amount in json.loads(text).items():
                sums[meter] = sums.get(meter, 0) + sign * amount * count
