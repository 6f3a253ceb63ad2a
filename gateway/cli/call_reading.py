"""Reads and formats what ``gateway calls`` prints."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import asdict

from gateway.cli.reading import Reading, parse_since, rfc3339
from gateway.ids import format_id
from gateway.metering.record import CallRecord
from gateway.runtime.unshipped import unshipped_calls
from gateway.storage.ports import PLATFORM, Scope
from gateway.storage.values import CallFilter, CallRow

COLUMNS = ("time", "status", "method", "path", "route", "key", "outcome", "billed", "ms", "bytes", "units")
NUMBERS = ("status", "ms", "bytes")
PAGE = 1000


async def count(reading: Reading, tenant: str, since: str) -> int:
    """The distinct calls with a record, in the ledger or the unshipped spool."""
    await reading.tenant(tenant)
    since_us = parse_since(since, reading.now_us)
    # Cursors first: what is shipped meanwhile is then in both, and counted once by its id.
    waiting = [record async for record in _waiting(reading, tenant)]
    ended = {record.id for record in waiting if not record.part}
    also = {
        record.id
        for record in waiting
        if (not record.part or record.id not in ended)
        and (since_us is None or (record.part_at_us or record.at_us) >= since_us)
    }
    return await reading.store.ledger.count_calls(Scope(tenant), CallFilter(since_us=since_us), also, ended)


async def newest(reading: Reading, tenant: str, since: str, limit: int) -> tuple[list[CallRow], int, int]:
    """The newest rows of the ledger, how many records wait in the spool, and how many rows were pruned."""
    await reading.tenant(tenant)
    filter = CallFilter(since_us=parse_since(since, reading.now_us))
    rows: list[CallRow] = []
    after: str | None = None
    while len(rows) < limit:
        page = await reading.store.ledger.calls(Scope(tenant), filter, min(PAGE, limit - len(rows)), after)
        rows += page.rows
        after = page.next
        if after is None:
            break
    pruned = sum(stretch.rows for stretch in await reading.store.ledger.sealed(Scope(tenant), filter))
    return rows, len([record async for record in _waiting(reading, tenant)]), pruned


async def _waiting(reading: Reading, tenant: str) -> AsyncIterator[CallRecord]:
    cursors = await reading.store.ledger.cursors(PLATFORM)
    for record in unshipped_calls(reading.spool, cursors):
        if record.tenant == tenant:
            yield record


def cells(rows: list[CallRow]) -> Iterator[tuple[object, ...]]:
    """Rows for people."""
    for row in rows:
        units = " ".join(f"{meter}={amount}" for meter, amount in sorted(row.units.items()))
        who = (row.method, row.path, row.route, row.key, row.outcome)
        billed = "yes" if row.billable else f"no: {row.not_billable}" if row.not_billable else "no"
        took = f"{row.duration_us / 1000:.1f}"
        yield (rfc3339(row.at_us), row.status, *who, billed, took, row.response_bytes, units)


def call_json(row: CallRow) -> dict[str, object]:
    """A row for programs: the id as text, the time as RFC 3339 too; sizes in bytes, durations in microseconds."""
    values = asdict(row)
    for private in ("posting", "address_hash"):
        del values[private]
    return values | {"id": format_id("call", row.id), "at": rfc3339(row.at_us)}
