"""The bounds of calendar windows for one tenant, by its zone and its subscription: the current and the next."""

from datetime import date
from typing import Literal, Protocol, cast
from zoneinfo import ZoneInfo

from gateway.clock import DAY_US, HOUR_US, MINUTE_US, SECOND_US
from gateway.period import CalendarUnit, Period, anchored_period, calendar_period, from_us, to_us
from gateway.quotas.counter import Bounds
from gateway.quotas.limit import DurationWindow, Window

Interval = Literal["month", "year"]


class Customer(Protocol):
    """What windows and counters need to know of a tenant; ``tenants.model.Tenant`` fits."""

    @property
    def id(self) -> str: ...
    @property
    def timezone(self) -> str: ...
    @property
    def billing_cycle(self) -> Interval: ...
    @property
    def anchor(self) -> str: ...


LENGTHS_US = {
    "second": SECOND_US,
    "minute": MINUTE_US,
    "hour": HOUR_US,
    "day": DAY_US,
    "week": 7 * DAY_US,
    "month": 30 * DAY_US,
    "year": 365 * DAY_US,
    "billing_period": 30 * DAY_US,
}
"""What a unit means to an algorithm of fixed length (sliding, bucket); a calendar window has its own length."""


def length_us(window: Window) -> int:
    """The nominal length of a window."""
    return window.length_us if isinstance(window, DurationWindow) else LENGTHS_US[window.unit]


def identity(window: Window | None, tenant: Customer, calendar: bool) -> str:
    """The window's part of a counter's identity: everything that moves its bounds (SEMANTICS §16)."""
    if window is None:
        return ""
    if not calendar or isinstance(window, DurationWindow):
        return f"{length_us(window)}us"
    if window.unit == "billing_period":
        return f"{tenant.billing_cycle}@{tenant.anchor}@{tenant.timezone}"
    return f"{window.unit}@{tenant.timezone}"


def bounds_at(window: Window, tenant: Customer, now_us: int) -> Bounds:
    """The window that holds ``now_us``, and the one after it."""
    if isinstance(window, DurationWindow):
        start = now_us - now_us % window.length_us
        return Bounds(start, start + window.length_us, start + 2 * window.length_us)
    interval = tenant.billing_cycle if window.unit == "billing_period" else ""
    name = (window.unit, tenant.timezone, interval, tenant.anchor if interval else "")
    bounds = _known.get(name)
    if bounds is None or not bounds.start_us <= now_us < bounds.end_us:
        if len(_known) >= _CACHED:
            _known.clear()
        bounds = _known[name] = _bounds(*name, now_us)
    return bounds


_CACHED = 4096
_known: dict[tuple[str, str, str, str], Bounds] = {}
"""The last bounds computed by (unit, zone, billing interval, anchor); good until the window's end."""


def _bounds(unit: str, zone_name: str, interval: str, anchor: str, now_us: int) -> Bounds:
    zone = ZoneInfo(zone_name)

    def period(us: int) -> Period:
        if anchor:
            return anchored_period(from_us(us), cast(Interval, interval), date.fromisoformat(anchor), zone)
        return calendar_period(from_us(us), cast(CalendarUnit, interval or unit), zone)

    current = period(now_us)
    start, end = to_us(current.start), to_us(current.end)
    return Bounds(start, end, to_us(period(end).end))
