"""Changes of plan or quantity: what they cost at once, later, or never; the preview is the bill."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal, assert_never
from zoneinfo import ZoneInfo

from gateway.billing.line import Line
from gateway.billing.proration import By, change_lines, net, share_from
from gateway.money import Money
from gateway.period import Period

When = Literal["now", "next_invoice", "period_end"]


@dataclass(frozen=True, slots=True)
class Change:
    """A change as previewed and as done: its lines, when it takes effect, and whether an invoice is made at once."""

    lines: tuple[Line, ...]
    effective: datetime
    invoice_now: bool
    net: Money


def plan_change(
    charged: Money,
    new_fee: Decimal,
    period: Period,
    at: datetime,
    zone: ZoneInfo,
    *,
    when: When = "now",
    by: By = "second",
    old_name: str,
    new_name: str,
) -> Change:
    """Leave a fee of which ``charged`` was really charged for ``period``, for ``new_fee`` per period (SEMANTICS §37).

    ``now`` invoices the two lines with reason `change`, ``next_invoice`` puts the same lines on the next one, and
    ``period_end`` changes nothing before the period ends and prorates nothing.
    """
    match when:
        case "now" | "next_invoice":
            share = share_from(period, at, zone, by)
            left = Period(min(max(at, period.start), period.end), period.end)
            lines = change_lines(charged, new_fee, share, left, old_name=old_name, new_name=new_name)
            return Change(lines, at, when == "now", net(lines, charged.currency))
        case "period_end":
            return Change((), period.end, False, Money.zero(charged.currency))
        case _:
            assert_never(when)
