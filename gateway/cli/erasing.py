"""Does what ``gateway erase`` asks, some rows at a time, and has it in the audit log."""

from gateway.cli.reading import Reading, parse_since
from gateway.runtime.unshipped import unshipped_calls
from gateway.storage.ports import PLATFORM, Scope
from gateway.storage.values import AuditEntry


async def erase_rows(reading: Reading, tenant: str, before: str) -> tuple[int, int]:
    """Blank the rows of a tenant, of none where that is empty: how many, and how many records wait in the spool."""
    if tenant:
        await reading.tenant(tenant)
    until_us = parse_since(before, reading.now_us)
    until_us = reading.now_us if until_us is None else until_us
    store, rows, since_us = reading.store, 0, 0
    while (erased := await store.ledger.erase(Scope(tenant), tenant, until_us, since_us)).rows:
        rows, since_us = rows + erased.rows, erased.since_us
    detail = {"rows": str(rows), "before_us": str(until_us)}
    entry = AuditEntry(reading.now_us, "command", "tenant.erase", tenant, tenant=tenant or None, detail=detail)
    await store.audit.append(PLATFORM, entry)
    cursors = await store.ledger.cursors(PLATFORM)
    waiting = [one for one in unshipped_calls(reading.spool, cursors) if one.tenant == tenant and one.at_us < until_us]
    return rows, len(waiting)
