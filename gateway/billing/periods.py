"""Billing periods: months and years from an anchor whose day is kept, on the tenant's midnight (SEMANTICS §27)."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from gateway.billing.proration import FULL, By, Share, share_from
from gateway.period import Period, anchored_period

Alignment = Literal["calendar", "anniversary"]


@dataclass(frozen=True, slots=True)
class Schedule:
    """How a subscription's periods follow one another. ``anchor`` is never re-derived from a clamped day."""

    anchor: date
    zone: ZoneInfo

    @classmethod
    def of(cls, start: datetime, alignment: Alignment, zone: ZoneInfo) -> "Schedule":
        """Anchored on the local day of ``start``, or on 1 January of its year."""
        day = start.astimezone(zone).date()
        return cls(day if alignment == "anniversary" else date(day.year, 1, 1), zone)

    def month(self, moment: datetime) -> Period:
        """The month that holds ``moment``: the period of usage, whatever the cycle."""
        return anchored_period(moment, "month", self.anchor, self.zone)

    def year(self, moment: datetime) -> Period:
        """The year that holds ``moment``; its bounds are bounds of months."""
        return anchored_period(moment, "year", self.anchor, self.zone)

    def months(self, start: datetime, end: datetime) -> Iterator[Period]:
        """The months that touch ``[start, end)``: whole, in order, without gap or overlap."""
        while start < end:
            month = self.month(start)
            yield month
            start = month.end

    def renews(self, month: Period) -> bool:
        """Whether a year of the subscription begins with this month."""
        return self.year(month.start).start == month.start


def served(period: Period, start: datetime, end: datetime | None, zone: ZoneInfo, by: By = "second") -> Share:
    """The part of ``period`` in which a subscription from ``start`` to ``end`` (None: goes on) is served."""
    if start <= period.start and (end is None or end >= period.end):
        return FULL
    until = share_from(period, max(start, period.start), zone, by)
    after = share_from(period, period.end if end is None else max(start, end), zone, by)
    return Share(until.part - after.part, until.whole)


def days_left(period: Period, at: datetime) -> int:
    """Whole days until the period ends, for people."""
    return max(timedelta(0), period.end - at).days
