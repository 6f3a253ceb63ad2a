"""Reads a tenant's usage: twelve months of history, and one month by day, route and key, in calls or another meter."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from gateway.clock import SECOND_US
from gateway.period import Period, from_us, to_us
from gateway.storage.ports import PLATFORM, Scope, UsageQuery
from gateway.storage.values import UsageSum
from gateway.tenants.model import Tenant
from gateway.tenants.zones import current_month, zone_of
from gateway.ui.charts import BarChart, Point, bar_chart
from gateway.ui.contexts import Option, UsageRow, UsageView
from gateway.ui.services import UiServices

MONTHS = 12
CALLS = "calls"
MAX_ROWS = 200


@dataclass(frozen=True, slots=True)
class UsageChoice:
    """What the visitor asked for: a month by its first day (empty: the current one), a key, a route, a meter."""

    month: str = ""
    key: str = ""
    route: str = ""
    meter: str = CALLS

    @classmethod
    def of(cls, query: Mapping[str, str]) -> "UsageChoice":
        """From an address; raises ``ValueError`` for what is no choice of ours."""
        found = {name: query.get(name, "") for name in ("month", "key", "route", "meter")}
        if any(len(text) > 256 or not text.isprintable() for text in found.values()):
            raise ValueError("no such choice")
        return cls(found["month"], found["key"], found["route"], found["meter"] or CALLS)

    def href(self, base: str, **changes: str) -> str:
        """The address of this choice with some of it changed; what is the default is left out."""
        chosen = replace(self, **changes)
        said = {"month": chosen.month, "key": chosen.key, "route": chosen.route}
        if chosen.meter != CALLS:
            said["meter"] = chosen.meter
        text = urlencode({name: value for name, value in said.items() if value})
        return f"{base}?{text}" if text else base


async def usage_view(services: UiServices, tenant: Tenant, base: str, choice: UsageChoice) -> UsageView | None:
    """The page, read within the tenant's scope; None when the month is not one of the twelve."""
    store, scope, zone, now_us = services.store, Scope(tenant.id), zone_of(tenant), services.clock.now()
    months = last_months(tenant, now_us)
    chosen = next((m for m in months if choice.month in ("", first_day(m, zone))), None)
    if chosen is None:
        return None
    spans = [(to_us(month.start), to_us(month.end)) for month in reversed(months)]
    sums = await store.ledger.periods(scope, spans, choice.key, choice.route)
    history = list(zip(reversed(months), sums, strict=True))
    routes, keys = await store.ledger.breakdowns(scope, _query(chosen, choice), by=("route", "key"))
    names = {key.id: key.name or key.id for key in await store.keys.list(scope, tenant.id)}
    meters = sorted({meter for one in sums for meter in one.units} - {CALLS})
    known_routes = [route.name for route in services.snapshot().routes]
    others = tuple(meter for meter in meters if any(meter in row.units for row in routes))
    return UsageView(
        base=base,
        months=tuple(Option(first_day(m, zone), _month_name(m, zone), m == chosen) for m in months),
        keys=_options({"": "All keys"} | names, choice.key),
        routes=_options({"": "All routes"} | dict(zip(known_routes, known_routes, strict=True)), choice.route),
        meters=_options({CALLS: "Calls"} | {name: name for name in meters}, choice.meter),
        start_us=to_us(chosen.start),
        end_us=to_us(chosen.end),
        current=chosen == months[0],
        calls=sum(row.calls for row in routes),
        failed=sum(row.errors for row in routes),
        billable=sum(row.billable for row in routes),
        received=sum(row.request_bytes for row in routes),
        sent=sum(row.response_bytes for row in routes),
        units=tuple((meter, sum(row.units.get(meter, 0) for row in routes)) for meter in others),
        history=_history(history, base, choice, zone),
        days=await _days(services, tenant, chosen, choice),
        columns=others,
        by_route=tuple(_row(r, r.name or "—", choice.href(base, route=r.name), others) for r in routes[:MAX_ROWS]),
        by_key=tuple(
            _row(r, names.get(r.name, r.name) or "no key", choice.href(base, key=r.name), others)
            for r in keys[:MAX_ROWS]
        ),
        complete_until_us=await store.ledger.complete_until(PLATFORM),
    )


def last_months(tenant: Tenant, now_us: int) -> list[Period]:
    """The twelve months of the tenant's bill, the current one first."""
    found = [current_month(tenant, now_us)]
    while len(found) < MONTHS:
        found.append(current_month(tenant, to_us(found[-1].start) - 1))
    return found


def first_day(month: Period, zone: ZoneInfo) -> str:
    """A month's name in addresses: the ISO date of its first day."""
    return month.start.astimezone(zone).date().isoformat()


def _month_name(month: Period, zone: ZoneInfo) -> str:
    first = month.start.astimezone(zone)
    return f"{first:%B %Y}" if first.day == 1 else f"from {first.day} {first:%b %Y}"


def _query(month: Period, choice: UsageChoice) -> UsageQuery:
    return UsageQuery(to_us(month.start), to_us(month.end), choice.key, choice.route)


def _options(names: Mapping[str, str], chosen: str) -> tuple[Option, ...]:
    known = names if chosen in names else {**names, chosen: chosen}
    return tuple(Option(value, text, value == chosen) for value, text in known.items())


def _row(found: UsageSum, name: str, href: str, meters: Sequence[str]) -> UsageRow:
    units = tuple(found.units.get(meter, 0) for meter in meters)
    return UsageRow(name, href, found.calls, found.errors, found.billable, units)


def _history(months: Sequence[tuple[Period, UsageSum]], base: str, choice: UsageChoice, zone: ZoneInfo) -> BarChart:
    points = []
    for month, found in months:
        good, bad = _figures(found, choice.meter)
        first = month.start.astimezone(zone)
        href = choice.href(base, month=first_day(month, zone))
        points.append(Point(_month_name(month, zone), f"{first:%b %Y}", good, bad, href))
    return bar_chart("months", f"{_title(choice.meter)} per month", points, choice.meter)


async def _days(services: UiServices, tenant: Tenant, month: Period, choice: UsageChoice) -> BarChart:
    zone, query = zone_of(tenant), _query(month, choice)
    until_us = min(query.end_us, services.clock.now() + SECOND_US)
    points = []
    for row in await services.store.ledger.series(Scope(tenant.id), replace(query, end_us=until_us), "day", zone):
        day = from_us(row.start_us).astimezone(zone)
        good, bad = _figures(row, choice.meter)
        points.append(Point(f"{day:%a} {day.day} {day:%b %Y}", f"{day.day} {day:%b}", good, bad))
    return bar_chart("days", f"{_title(choice.meter)} per day, {_month_name(month, zone)}", points, choice.meter)


def _figures(found: UsageSum, meter: str) -> tuple[int, int]:
    """Calls that were answered and that failed; of another meter its billable units."""
    return (found.calls - found.errors, found.errors) if meter == CALLS else (found.units.get(meter, 0), 0)


def _title(meter: str) -> str:
    return "Calls" if meter == CALLS else f"Billable {meter}"
