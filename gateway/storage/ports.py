"""The ports of the store: who may see what (``Scope``), and the ledger."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.metering.ports import Frame


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose rows a query may touch: one tenant's, or the whole platform's. Every repository takes one."""

    tenant: str | None

    @property
    def is_platform(self) -> bool:
        return self.tenant is None


PLATFORM = Scope(None)


@dataclass(frozen=True, slots=True)
class UsageQuery:
    """Which calls to add up. Times are microseconds, half-open; empty text means any."""

    start_us: int
    end_us: int
    key: str = ""
    route: str = ""


@dataclass(frozen=True, slots=True)
class UsageTotals:
    """Sums of a query. ``units`` are billable, per meter; ``complete_until_us`` is the watermark (SEMANTICS §29)."""

    calls: int
    billable: int
    units: dict[str, int]
    request_bytes: int
    response_bytes: int
    complete_until_us: int


class UsageLedger(Protocol):
    """All records, append-only."""

    async def post(self, incarnation: str, frames: Sequence[Frame]) -> int:
        """Post one batch and move its cursor in the same transaction; a batch behind its cursor is skipped whole.

        Returns the sequence that the cursor stands at. Raises ``StoreUnavailable``; nothing is half-written.
        """
        ...

    async def totals(self, scope: Scope, query: UsageQuery) -> UsageTotals:
        """Sum a scope's usage from rollups and, at the period's ragged ends, rows."""
        ...
