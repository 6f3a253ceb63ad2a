"""Erasure: personal fields of a tenant's rows are blanked; no row goes, and no sum changes (SEMANTICS §28)."""

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


class Erasing:
    """Blanking rows of one tenant."""

    _database: Database

    async def erase(self, scope: Scope, tenant: str, until_us: int, at_once: int = AT_ONCE) -> int:
        """Blank some of a tenant's rows from before an instant in one transaction; returns how many, 0 at the end."""
        calls = schema.calls
        marked = sa.or_(*(calls.c[name] != blank for name, blank in CALL_FIELDS.items()))
        mine = [within(scope, calls.c.tenant), calls.c.tenant == tenant, calls.c.at_us < until_us, marked]
        some = sa.select(calls.c.id, calls.c.part).where(*mine).limit(at_once)
        blank_calls = sa.update(calls).where(sa.tuple_(calls.c.id, calls.c.part).in_(some)).values(**CALL_FIELDS)
        marked = sa.or_(*(events.c[name] != blank for name, blank in EVENT_FIELDS.items()))
        mine = [within(scope, events.c.tenant), events.c.tenant == tenant, events.c.at_us < until_us, marked]
        chosen = sa.select(events.c.posting).where(*mine).limit(at_once)
        blank_events = sa.update(events).where(events.c.posting.in_(chosen)).values(**EVENT_FIELDS)
        async with self._database.write() as connection:
            return sum([(await connection.execute(blank)).rowcount for blank in (blank_calls, blank_events)])
