"""Half-open periods of civil time: calendar windows in a time zone, and months or years from an anchor day."""

from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Literal
from zoneinfo import ZoneInfo

CalendarUnit = Literal["second", "minute", "hour", "day", "week", "month", "year"]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def to_us(moment: datetime) -> int:
    """Whole microseconds since the epoch of an aware datetime (exact; no float)."""
    return (moment - EPOCH) // MICROSECOND


def from_us(us: int) -> datetime:
    """The aware UTC datetime of an instant in microseconds."""
    return EPOCH + timedelta(microseconds=us)


@dataclass(frozen=True, slots=True)
class Period:
    """``[start, end)``, both aware and in UTC."""

    start: datetime
    end: datetime

    @property
    def seconds(self) -> int:
        """Length in whole seconds."""
        return (self.end - self.start) // timedelta(seconds=1)

    def contains(self, moment: datetime) -> bool:
        return self.start <= moment < self.end


def local_midnight(day: date, zone: ZoneInfo) -> datetime:
    """The first instant of a local day, in UTC.

    Where the clock skips midnight, ``fold=0`` reads it with the offset before the gap, which is the instant of the
    transition; where midnight comes twice, it is the first of the two (PEP 495).
    """
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)


def calendar_period(moment: datetime, unit: CalendarUnit, zone: ZoneInfo) -> Period:
    """The calendar window of ``unit`` that holds ``moment``: aligned to the zone's clock; weeks start on Monday.

    Days, weeks, months and years are bounded by local midnights, so a day has 23 to 25 hours across a clock change.
    Hours and shorter are aligned to the zone's offset at ``moment``.
    """
    if unit in ("second", "minute", "hour"):
        length = {"second": 1, "minute": 60, "hour": 3600}[unit]
        offset = moment.astimezone(zone).utcoffset() or timedelta(0)
        seconds = (moment - EPOCH + offset) // timedelta(seconds=1)
        start = EPOCH + timedelta(seconds=seconds - seconds % length) - offset
        return Period(start, start + timedelta(seconds=length))
    day = moment.astimezone(zone).date()
    match unit:
        case "day":
            first, after = day, day + timedelta(days=1)
        case "week":
            first = day - timedelta(days=day.weekday())
            after = first + timedelta(days=7)
        case "month":
            first, after = day.replace(day=1), add_months(day.replace(day=1), 1)
        case "year":
            first, after = date(day.year, 1, 1), date(day.year + 1, 1, 1)
    return Period(local_midnight(first, zone), local_midnight(after, zone))


def add_months(anchor: date, months: int) -> date:
    """The anchor's day ``months`` later, clamped to the month's last day; always computed from the anchor itself."""
    index = anchor.year * 12 + anchor.month - 1 + months
    year, month = index // 12, index % 12 + 1
    return date(year, month, min(anchor.day, monthrange(year, month)[1]))


@lru_cache(maxsize=4096)
def anchored_period(moment: datetime, interval: Literal["month", "year"], anchor: date, zone: ZoneInfo) -> Period:
    """The month or year, counted from ``anchor`` at local midnight, that holds ``moment``.

    The anchor's own day is kept: from 31 January the bounds are 28 February, 31 March, 30 April.
    """
    step = 1 if interval == "month" else 12
    day = moment.astimezone(zone).date()
    index = ((day.year - anchor.year) * 12 + day.month - anchor.month) // step
    while local_midnight(add_months(anchor, index * step), zone) > moment:
        index -= 1
    while local_midnight(add_months(anchor, (index + 1) * step), zone) <= moment:
        index += 1
    return Period(
        local_midnight(add_months(anchor, index * step), zone),
        local_midnight(add_months(anchor, (index + 1) * step), zone),
    )
