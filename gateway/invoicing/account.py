"""One subscription as the books have it, and what follows from it alone: periods, phases, when to look again."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from itertools import pairwise
from typing import cast
from zoneinfo import ZoneInfo

from gateway.billing.catalog import Cycle
from gateway.billing.periods import Schedule
from gateway.billing.subscription import State, Subscription
from gateway.clock import DAY_US
from gateway.period import Period, from_us, to_us
from gateway.storage.billing_values import CreditRow, InvoiceRow, PendingRow, PhaseRow, SubscriptionRow

FAR_US = 1 << 62
"""Later than any time: nothing to do."""


@dataclass(frozen=True, slots=True)
class TenantFacts:
    """What billing needs of the tenant itself."""

    name: str
    plan: str
    status: str
    status_reason: str
    source: str = "store"
    locale: str = ""


@dataclass(frozen=True)
class Account:
    """A subscription with its phases, its draft of a cycle, and what waits for its next invoice.

    ``watermark``: up to which posting its final cycles looked. ``oldest_due_us``: of its open invoices.
    """

    row: SubscriptionRow
    phases: tuple[PhaseRow, ...]
    draft: InvoiceRow | None = None
    pending: tuple[PendingRow, ...] = ()
    credits: tuple[CreditRow, ...] = ()
    watermark: int | None = None
    oldest_due_us: int | None = None
    tenant: TenantFacts = field(default_factory=lambda: TenantFacts("", "", "", ""))

    @cached_property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.row.timezone)

    @cached_property
    def schedule(self) -> Schedule:
        return Schedule(date.fromisoformat(self.row.anchor), self.zone)

    @property
    def begins_us(self) -> int:
        """When charging begins: after the trial."""
        return self.row.start_us if self.row.trial_end_us is None else max(self.row.start_us, self.row.trial_end_us)

    @property
    def unbilled_us(self) -> int:
        """Where the next cycle begins."""
        return self.begins_us if self.row.billed_until_us is None else self.row.billed_until_us

    @property
    def cycle(self) -> Period:
        """The next cycle to be billed: to the month's end, or to the end of the subscription."""
        start = from_us(self.unbilled_us)
        end = self.schedule.month(start).end
        if self.row.cancel_at_us is not None:
            end = min(end, max(start, from_us(self.row.cancel_at_us)))
        return Period(start, end)

    @property
    def closed_draft(self) -> InvoiceRow | None:
        """The draft of a cycle that is over and waits for late usage."""
        return self.draft if self.draft is not None and self.draft.end_us <= self.unbilled_us else None

    def wake_us(self, suspend_after_us: int) -> int:
        """When something is due next."""
        row, times = self.row, [FAR_US]
        if self.closed_draft is not None:
            times.append(self.closed_draft.finalize_us)
        if row.state == State.CANCELED:
            if self.closed_draft is None and row.billed_until_us is not None:
                times.append((row.canceled_us or 0) + DAY_US)  # late usage
            return min(times)
        if row.state == State.PENDING:
            times.append(row.start_us)
        elif row.state == State.TRIALING:
            times.append(self.begins_us)
        if row.cancel_at_us is not None:
            times.append(row.cancel_at_us)
        times.append(self.begins_us if row.billed_until_us is None else to_us(self.cycle.end))
        if self.oldest_due_us is not None and row.state in (State.ACTIVE, State.PAST_DUE):
            times.append(self.oldest_due_us + (suspend_after_us if row.state == State.PAST_DUE else 0))
        return min(times)

    def age(self, at_us: int) -> int:
        """How many months of the subscription were begun before the one that holds ``at_us``."""
        first, last = (self.schedule.month(from_us(us)).start.astimezone(self.zone) for us in (self.begins_us, at_us))
        return max(0, (last.year - first.year) * 12 + last.month - first.month)

    def phase(self, at_us: int) -> PhaseRow:
        """By which prices it is served at ``at_us``."""
        return next((phase for phase in reversed(self.phases) if phase.start_us <= at_us), self.phases[0])

    def segments(self, period: Period) -> Iterator[tuple[PhaseRow, Period]]:
        """The parts of a period by phases, in order, without gap."""
        start_us, end_us = to_us(period.start), to_us(period.end)
        bounds = [start_us, *(one.start_us for one in self.phases if start_us < one.start_us < end_us), end_us]
        for first, last in pairwise(bounds):
            if first < last:
                yield self.phase(first), Period(from_us(first), from_us(last))

    def subscription(self) -> Subscription:
        """The domain's value, which knows what time and debt demand."""
        row = self.row
        return Subscription(
            id=row.id,
            tenant=row.tenant,
            plan=row.plan,
            version=row.version,
            cycle=cast(Cycle, row.cycle),
            schedule=self.schedule,
            start=from_us(row.start_us),
            state=State(row.state),
            trial_end=None if row.trial_end_us is None else from_us(row.trial_end_us),
            cancel_at=None if row.cancel_at_us is None else from_us(row.cancel_at_us),
            pinned=row.pinned,
            quantity=row.quantity,
        )
