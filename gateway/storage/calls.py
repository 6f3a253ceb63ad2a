"""Reading single calls: lists newest first by keyset, counts, ids."""

import json
from collections.abc import Collection

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.storage import schema
from gateway.storage.engine import Database
from gateway.storage.ports import Scope
from gateway.storage.rows import AnyRow
from gateway.storage.scoping import within
from gateway.storage.values import CallFilter, CallRow, Page, cursor_number

ANY_CALL = CallFilter()
_PARAMETERS = 500  # well under SQLite's limit of bound variables

_FIELDS = [name for name in schema.calls.columns.keys() if name not in ("source", "sequence")]  # noqa: SIM118
_COLUMNS = [schema.calls.c[name] for name in _FIELDS]


def call_of(row: AnyRow) -> CallRow:
    """A row of ``calls``."""
    values = row._asdict()
    values["units"] = json.loads(row.units)
    decided_us = values.pop("decided_us")
    values["part_at_us"] = 0 if decided_us is None else row.at_us
    values["at_us"] = row.at_us if decided_us is None else decided_us
    values["quota_units"] = values["units"] if row.quota_units is None else json.loads(row.quota_units)
    return CallRow(**values)


def conditions(scope: Scope, wanted: CallFilter) -> list[sa.ColumnElement[bool]]:
    """What a filter asks of a row, inside the scope."""
    table = schema.calls
    found = [within(scope, table.c.tenant)]
    for column, text in (
        (table.c.tenant, wanted.tenant),
        (table.c.key, wanted.key),
        (table.c.route, wanted.route),
        (table.c.outcome, wanted.outcome),
    ):
        if text:
            found.append(column == text)
    if 0 < wanted.status < 10:
        found.append(table.c.status.between(wanted.status * 100, wanted.status * 100 + 99))
    elif wanted.status:
        found.append(table.c.status == wanted.status)
    if wanted.since_us is not None:
        found.append(table.c.at_us >= wanted.since_us)
    if wanted.until_us is not None:
        found.append(table.c.at_us < wanted.until_us)
    if wanted.meter:
        found.append(table.c.units.contains(f'"{wanted.meter}":', autoescape=True))
    if wanted.billable:
        found.append(table.c.billable)
    if wanted.posted is not None:
        found += [table.c.posting > wanted.posted[0], table.c.posting <= wanted.posted[1]]
    return found


class CallReads:
    """The ledger's single rows."""

    _database: Database

    async def calls(
        self,
        scope: Scope,
        filter: CallFilter = ANY_CALL,
        limit: int = 50,
        after: str | None = None,
        *,
        oldest_first: bool = False,
    ) -> Page[CallRow]:
        """Rows newest first, unless asked the other way. Pages neither repeat nor miss a row while calls come in."""
        table = schema.calls
        query = sa.select(*_COLUMNS).where(*conditions(scope, filter))
        place = sa.tuple_(table.c.at_us, table.c.posting)
        if after is not None:
            query = query.where(place > _cursor(after) if oldest_first else place < _cursor(after))
        order = (table.c.at_us, table.c.posting)
        query = query.order_by(*order if oldest_first else (column.desc() for column in order)).limit(limit + 1)
        async with self._database.read() as connection:
            rows = [call_of(row) for row in await connection.execute(query)]
        more = f"{rows[limit - 1].own_us}.{rows[limit - 1].posting}" if len(rows) > limit else None
        return Page(tuple(rows[:limit]), more)

    async def call(self, scope: Scope, id: bytes) -> list[CallRow]:
        """The parts of one call, the final one first; empty when there is none within the scope."""
        table = schema.calls
        query = sa.select(*_COLUMNS).where(table.c.id == id, within(scope, table.c.tenant)).order_by(table.c.part)
        async with self._database.read() as connection:
            return [call_of(row) for row in await connection.execute(query)]

    async def count_calls(self, scope: Scope, filter: CallFilter = ANY_CALL, also: Collection[bytes] = ()) -> int:
        """How many distinct calls have a row, or an id in ``also``: those that matched in the unshipped spool."""
        table = schema.calls
        matching = conditions(scope, filter)
        rows = sa.select(sa.func.count()).select_from(table).where(*matching)
        # Parts are few, and have their own index: calls = final rows + calls known by their parts only.
        parts = sa.select(sa.func.count(), sa.func.count(sa.distinct(table.c.id))).where(table.c.part > 0, *matching)
        final = table.alias("final")
        ended = sa.select(sa.literal(1)).where(final.c.id == table.c.id, final.c.part == 0).exists()
        both = sa.select(sa.func.count(sa.distinct(table.c.id))).where(table.c.part > 0, ended, *matching)
        async with self._database.read() as connection:
            total = (await connection.execute(rows)).scalar_one()
            part_rows, part_calls = (await connection.execute(parts)).one()
            ended_calls = (await connection.execute(both)).scalar_one() if part_rows else 0
            known = await _known(connection, scope, also)
        return int(total - part_rows + part_calls - ended_calls) + len(set(also)) - known

    async def count_rows(self, scope: Scope, filter: CallFilter = ANY_CALL) -> int:
        """How many rows match: a call's parts count each."""
        query = sa.select(sa.func.count()).select_from(schema.calls).where(*conditions(scope, filter))
        async with self._database.read() as connection:
            return int((await connection.execute(query)).scalar_one())

    async def ids(self, scope: Scope, filter: CallFilter = ANY_CALL) -> set[bytes]:
        """The ids of all matching calls: for comparing sets, not for pages."""
        query = sa.select(schema.calls.c.id).where(*conditions(scope, filter))
        async with self._database.read() as connection:
            return set((await connection.execute(query)).scalars())


async def _known(connection: AsyncConnection, scope: Scope, ids: Collection[bytes]) -> int:
    table = schema.calls
    ordered, known = sorted(set(ids)), 0
    for start in range(0, len(ordered), _PARAMETERS):
        chunk = ordered[start : start + _PARAMETERS]
        query = sa.select(sa.func.count(sa.distinct(table.c.id)))
        query = query.where(table.c.id.in_(chunk), within(scope, table.c.tenant))
        known += (await connection.execute(query)).scalar_one()
    return known


def _cursor(text: str) -> sa.Tuple:
    at_us, _, posting = text.partition(".")
    return sa.tuple_(sa.literal(cursor_number(at_us)), sa.literal(cursor_number(posting)))
