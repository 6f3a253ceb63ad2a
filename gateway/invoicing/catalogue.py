"""The catalog in the store: every version of a plan's prices, and since when it was the newest (SEMANTICS §17)."""

from gateway.billing.catalog import Plan
from gateway.invoicing.codec import plan_from_json, plan_to_json
from gateway.invoicing.settings import BillingSettings
from gateway.storage.billing import Billing
from gateway.storage.billing_values import PlanVersionRow
from gateway.storage.engine import Conflict
from gateway.storage.ports import PLATFORM


class Catalogue:
    """All versions known, read in one go. ``newest`` at an instant does not depend on when it is asked."""

    def __init__(self, rows: list[PlanVersionRow]) -> None:
        self._by_key: dict[str, list[PlanVersionRow]] = {}
        self._plans: dict[tuple[str, str], Plan] = {}
        for row in rows:
            self._by_key.setdefault(row.key, []).append(row)
            self._plans.setdefault((row.plan, row.version), plan_from_json(row.document))

    def plan(self, name: str, version: str) -> Plan:
        """The plan at a version that some subscription has."""
        return self._plans[name, version]

    def newest(self, key: str, at_us: int) -> Plan | None:
        """The newest version at ``at_us``: the last seen by then, else the first ever seen; None: no such entry."""
        rows = self._by_key.get(key)
        if not rows:
            return None
        row = next((row for row in reversed(rows) if row.seen_us <= at_us), rows[0])
        return self._plans[row.plan, row.version]

    def last(self, key: str) -> PlanVersionRow | None:
        """The entry's last row."""
        rows = self._by_key.get(key)
        return rows[-1] if rows else None


async def publish(billing: Billing, settings: BillingSettings, now_us: int) -> Catalogue:
    """Take the configuration's prices into the store where they changed; returns the catalog.

    Several processes may do this at once: who comes second finds it done.
    """
    async with billing.read(PLATFORM) as books:
        known = Catalogue(await books.versions())
    added: list[PlanVersionRow] = []
    for name, tenant in settings.entries():
        plan, key = settings.plan(name, tenant), settings.key(name, tenant) if tenant else name
        last = known.last(key)
        if last is None or last.version != plan.version:
            ordinal = last.ordinal + 1 if last else 1
            added.append(PlanVersionRow(key, ordinal, name, plan.version, plan_to_json(plan), now_us))
    if not added:
        return known
    try:
        async with billing.write(PLATFORM) as books:
            await books.publish(added)
    except Conflict:  # another process published the same configuration
        pass
    async with billing.read(PLATFORM) as books:
        return Catalogue(await books.versions())
