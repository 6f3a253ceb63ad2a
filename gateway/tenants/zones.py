"""A tenant's civil time: its zone, its anchor day and the month that its bill and its figures are of."""

from datetime import date
from zoneinfo import ZoneInfo

from gateway.period import Period, anchored_period, calendar_period, from_us
from gateway.tenants.model import Tenant

UTC_ZONE = ZoneInfo("UTC")


def zone_of(tenant: Tenant) -> ZoneInfo:
    """The tenant's zone; UTC when the store holds a name that this machine's zone data no longer has."""
    try:
        return ZoneInfo(tenant.timezone)
    except (KeyError, ValueError, OSError):
        return UTC_ZONE


def anchor_of(tenant: Tenant) -> date:
    """The subscription's anchor; the first of a month without one."""
    try:
        return date.fromisoformat(tenant.anchor)
    except ValueError:
        return date(2000, 1, 1)


def current_month(tenant: Tenant, now_us: int) -> Period:
    """The month of usage that holds now: from the anchor day, else the calendar's (SEMANTICS §36: always monthly)."""
    if tenant.anchor:
        return anchored_period(from_us(now_us), "month", anchor_of(tenant), zone_of(tenant))
    return calendar_period(from_us(now_us), "month", zone_of(tenant))
