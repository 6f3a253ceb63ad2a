"""What the ledger knows of a quota counter: sums and rows of counted units (SEMANTICS §16, §19)."""

import json
from collections.abc import Sequence
from itertools import product

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.metering.rollup import quarter_of
from gateway.storage import schema
from gateway.storage.engine import Database
from gateway.storage.ports import Scope
from gateway.storage.scoping import platform_only
from gateway.storage.slices import Slices, Span, rounded, slices


class QuotaReads:
    """The ledger's side of the counters; platform only, the tenant is an argument."""

    _database: Database

    async def quota_sums(
        self,
        scope: Scope,
        tenant: str,
        meter: str,
        start_us: int,
        end_us: int,
        key: str | None = None,
        routes: Sequence[str] = (),
        address: bytes | None = None,
    ) -> int:
        """The exact sum of a meter's quota units in ``[start_us, end_us)``.

        Whole quarter hours come from rollups, ragged ends from rows. No ``key`` and no ``routes`` mean all; with
        ``address`` (a keyed hash) everything comes from rows, since rollups do not know addresses.
        """
        platform_only(scope)
        total = 0
        async with self._database.read() as connection:
            end_us = await _rounded(connection, tenant, end_us)
            cut = slices(start_us, end_us, rollups=address is None)
            if cut.quarters:
                sums = schema.rollup_units
                query = sa.select(sa.func.coalesce(sa.func.sum(sums.c.quota_units), 0)).where(
                    sums.c.tenant == tenant, sums.c.meter == meter, cut.quarters.holds(sums.c.quarter_us)
                )
                query = query.where(*_narrow(sums, key, routes))
                total += int((await connection.execute(query)).scalar_one())
            for table, span in product(_tables(address), cut.rows):
                units = _quota_units(table)
                grouped = sa.select(units, sa.func.count()).where(*_counted(table, tenant, span, key, routes, address))
                for text, count in await connection.execute(grouped.group_by(units)):
                    total += json.loads(text).get(meter, 0) * count
        return total

    async def quota_rows(
        self,
        scope: Scope,
        tenant: str,
        meter: str,
        start_us: int,
        end_us: int,
        key: str | None = None,
        routes: Sequence[str] = (),
        address: bytes | None = None,
    ) -> list[tuple[int, int]]:
        """``(Decision.at, units)`` of every counted row of a meter in ``[start_us, end_us)``, oldest first.

        Of pruned calls those of a quarter hour are one, at its start.
        """
        platform_only(scope)
        found: list[tuple[int, int, int]] = []
        async with self._database.read() as connection:
            for table in _tables(address):
                where = _counted(table, tenant, Span(start_us, end_us), key, routes, address)
                decided = sa.func.coalesce(table.c.decided_us, table.c.at_us)
                query = sa.select(decided, table.c.posting, _quota_units(table)).where(*where)
                for at_us, posting, text in await connection.execute(query):
                    found.append((at_us, posting, json.loads(text).get(meter, 0)))
        return [(at_us, units) for at_us, _, units in sorted(found) if units]

    async def quota_use(
        self, scope: Scope, tenant: str, meter: str, start_us: int, end_us: int, *, summed: bool
    ) -> list[tuple[str, str, int, int]]:
        """``(key, route, Decision.at, units)`` of all that a tenant was counted of a meter in ``[start_us, end_us)``.

        All of its counters asked at once, where ``quota_sums`` and ``quota_rows`` ask for one; ``summed`` adds up each
        key and route, at ``start_us``.
        """
        platform_only(scope)
        found: list[tuple[str, str, int, int]] = []
        async with self._database.read() as connection:
            cut = Slices(None, (Span(start_us, end_us),))
            if summed:
                cut = slices(start_us, await _rounded(connection, tenant, end_us))
            if cut.quarters:
                sums = schema.rollup_units
                query = sa.select(sums.c.key, sums.c.route, sa.func.sum(sums.c.quota_units)).where(
                    sums.c.tenant == tenant, sums.c.meter == meter, cut.quarters.holds(sums.c.quarter_us)
                )
                for key, route, units in await connection.execute(query.group_by(sums.c.key, sums.c.route)):
                    found.append((key, route, start_us, int(units)))
            for table, span in product(_tables(None), cut.rows):
                decided = sa.func.coalesce(table.c.decided_us, table.c.at_us)
                rows = sa.select(table.c.key, table.c.route, decided, _quota_units(table))
                for key, route, at_us, text in await connection.execute(
                    rows.where(*_counted(table, tenant, span, None, (), None))
                ):
                    units = json.loads(text).get(meter, 0)
                    found.append((key, route, start_us if summed else at_us, units))
        return [one for one in found if one[3]]

    async def active_scopes(self, scope: Scope, since_us: int) -> list[tuple[str, str, str]]:
        """``(tenant, key, route)`` of everything counted since: what a rebuild of the counters goes through."""
        platform_only(scope)
        table = schema.rollup_units
        columns = (table.c.tenant, table.c.key, table.c.route)
        query = (
            sa.select(*columns).where(table.c.quarter_us >= quarter_of(since_us), table.c.quota_units > 0).distinct()
        )
        async with self._database.read() as connection:
            return [(tenant, key, route) for tenant, key, route in await connection.execute(query.order_by(*columns))]


def _tables(address: bytes | None) -> tuple[sa.Table, ...]:
    """Rows, and what is left of pruned ones: those know no addresses."""
    return (schema.calls, schema.seals) if address is None else (schema.calls,)


def _quota_units(table: sa.Table) -> sa.ColumnElement[str]:
    return sa.func.coalesce(table.c.quota_units, table.c.units)


async def _rounded(connection: AsyncConnection, tenant: str, end_us: int) -> int:
    """``slices.rounded`` for quota units, which are summed by ``Decision.at``; most rows have only one time."""

    def short(table: sa.FromClause) -> list[sa.ColumnElement[bool]]:
        return [table.c.tenant == tenant, table.c.decided_us.is_(None)]

    after_us = await rounded(connection, short, end_us)
    if after_us == end_us:
        return end_us
    return await rounded(connection, lambda table: [table.c.tenant == tenant], end_us, "decided_us")


def _narrow(table: sa.Table, key: str | None, routes: Sequence[str]) -> list[sa.ColumnElement[bool]]:
    found: list[sa.ColumnElement[bool]] = []
    if key is not None:
        found.append(table.c.key == key)
    if routes:
        found.append(table.c.route.in_(routes))
    return found


def _counted(
    table: sa.Table, tenant: str, span: Span, key: str | None, routes: Sequence[str], address: bytes | None
) -> list[sa.ColumnElement[bool]]:
    mine, decided = table.c.tenant == tenant, table.c.decided_us
    # Two ranges of two indexes: calls of one part, and parts of long calls (SEMANTICS §5).
    within = sa.or_(sa.and_(mine, decided.is_(None), span.holds(table.c.at_us)), sa.and_(mine, span.holds(decided)))
    found = [within, table.c.counted, *_narrow(table, key, routes)]
    return found if address is None else [*found, table.c.address_hash == address]
