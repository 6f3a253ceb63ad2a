"""Erasure: personal fields of a tenant's rows are blanked; no row goes, and no sum changes (SEMANTICS §28)."""

from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from gateway.storage import schema
from gateway.storage.account_schema import events
from gateway.storage.engine import Database
from gateway.storage.ports import Scope
from gateway.storage.scoping import within

AT_ONCE = 2_000
CALL_FIELDS = {"path": "", "address": "", "address_hash": b"", "request_id": ""}
"""What a call says of people: where they asked from, for what, and the name that they gave the request."""

EVENT_FIELDS = {"subject": "", "source": "", "id": ""}
"""Events stay what they were counted as; that they were here is known by the hash of their identity."""


@dataclass(frozen=True, slots=True)
class Erased:
    """What one transaction blanked: how many rows, and the time that the next one goes on from."""

    rows: int
    since_us: int


class Erasing:
    """Blanking rows of one tenant."""

    _database: Database

    async def erase(
        self, scope: Scope, tenant: str, until_us: int, since_us: int = 0, at_once: int = AT_ONCE
    ) -> Erased:
        """Blank some of a tenant's rows (the empty name: calls of no tenant) of ``[since_us, until_us)``, the oldest
        first, in one transaction; no rows at the end."""
        calls = schema.calls
        mine = (within(scope, calls.c.tenant), *_marked(calls, CALL_FIELDS, tenant, since_us, until_us))
        some = sa.select(calls.c.id, calls.c.part).where(*mine).order_by(calls.c.at_us).limit(at_once)
        blank_calls = sa.update(calls).where(sa.tuple_(calls.c.id, calls.c.part).in_(some)).values(**CALL_FIELDS)
        mine = (within(scope, events.c.tenant), *_marked(events, EVENT_FIELDS, tenant, 0, until_us))
        chosen = sa.select(events.c.posting).where(*mine).limit(at_once)
        blank_events = sa.update(events).where(events.c.posting.in_(chosen)).values(**EVENT_FIELDS)
        async with self._database.write() as connection:
            times = (await connection.execute(blank_calls.returning(calls.c.at_us))).scalars().all()
            reported = (await connection.execute(blank_events)).rowcount
        return Erased(len(times) + reported, max(times, default=since_us))


def _marked(
    table: sa.Table, fields: Mapping[str, object], tenant: str, since_us: int, until_us: int
) -> tuple[sa.ColumnElement[bool], ...]:
    """Rows of a tenant's that say something of people."""
    time = table.c.at_us
    marked = sa.or_(*(table.c[name] != blank for name, blank in fields.items()))
    return table.c.tenant == tenant, time >= since_us, time < until_us, marked
