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


def conditions(scope: Scope, wanted: CallFilter, table: sa.Table = schema.calls) -> list[sa.ColumnElement[bool]]:
    """What a filter asks of a row, inside the scope; or of a seal, whose calls all have its quarter hour's time."""
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

    async def count_calls(
        self,
        scope: Scope,
        filter: CallFilter = ANY_CALL,
        also: Collection[bytes] = (),
        ended: Collection[bytes] = (),
    ) -> int:
        """How many distinct calls match, each by its final part, or by any part as long as no final one is there.

        Pruned calls are counted too. ``also`` are ids that matched by that rule in the unshipped spool; ``ended`` are
        those whose final part is there, whether it matches or not: then the parts in the ledger say nothing more.
        """
        table = schema.calls
        matching = conditions(scope, filter)
        final = sa.select(sa.func.count()).select_from(table).where(table.c.part == 0, *matching)
        sealed = sa.select(sa.func.sum(schema.seals.c.calls)).where(*conditions(scope, filter, schema.seals))
        open_calls = sa.select(sa.func.count(sa.distinct(table.c.id))).where(table.c.part > 0, _open(), *matching)
        async with self._database.read() as connection:
            total = 0
            for query in (final, sealed, open_calls):
                total += int((await connection.execute(query)).scalar_one() or 0)
            return total + await _in_spool(connection, scope, matching, set(also), set(ended))

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


def _open() -> sa.ColumnElement[bool]:
    """Of the parts of a call: no final one is in the ledger, nor was one pruned."""
    table, sealed = schema.calls, schema.sealed_calls
    final = table.alias("final")
    ended = sa.select(sa.literal(1)).where(final.c.id == table.c.id, final.c.part == 0).exists()
    return ~(ended | sa.select(sa.literal(1)).where(sealed.c.id == table.c.id).exists())


async def _in_spool(
    connection: AsyncConnection,
    scope: Scope,
    matching: list[sa.ColumnElement[bool]],
    also: set[bytes],
    ended: set[bytes],
) -> int:
    """What the spool adds to the calls that the ledger counts: new ones, less those that it knows better."""
    table = schema.calls
    ordered, added = sorted(also | ended), 0
    for start in range(0, len(ordered), _PARAMETERS):
        mine = [table.c.id.in_(ordered[start : start + _PARAMETERS]), within(scope, table.c.tenant)]
        final = sa.select(table.c.id).where(*mine, table.c.part == 0)
        parts = sa.select(table.c.id).where(*mine, table.c.part > 0, _open(), *matching).distinct()
        shipped = set((await connection.execute(final)).scalars())
        counted = set((await connection.execute(parts)).scalars())
        for id in ordered[start : start + _PARAMETERS]:
            if id not in shipped:  # by now: then the ledger counts it by what the ledger has
                added += (id in also) - (id in counted)
    return added


def _cursor(text: str) -> sa.Tuple:
    at_us, _, posting = text.partition(".")
    return sa.tuple_(sa.literal(cursor_number(at_us)), sa.literal(cursor_number(posting)))
