"""Limits as bars: from the counters when they can be read, else from the ledger's sums."""

from collections.abc import Sequence
from dataclasses import replace

from gateway.clock import SECOND_US
from gateway.errors import StoreUnavailable
from gateway.period import CalendarUnit, anchored_period, calendar_period, from_us, to_us
from gateway.quotas.limit import CalendarWindow, DurationWindow, Limit
from gateway.storage.ports import PLATFORM
from gateway.tenants.model import Key, Tenant
from gateway.tenants.zones import anchor_of, zone_of
from gateway.ui.contexts import Level, LimitBar
from gateway.ui.forecast import forecast
from gateway.ui.formats import duration
from gateway.ui.services import LimitUse, UiServices

FULLEST = 4


async def limit_bars(services: UiServices, tenant: Tenant, keys: Sequence[Key]) -> tuple[tuple[LimitBar, ...], bool]:
    """The tenant's limits as a page shows them, and whether they are the live counters' figures."""
    now_us = services.clock.now()
    if services.limit_states is not None:
        try:
            return arrange([to_bar(use, now_us) for use in services.limit_states(tenant, keys)]), True
        except StoreUnavailable:
            pass
    return tuple([to_bar(use, now_us) for use in await _from_ledger(services, tenant, now_us)]), False


def arrange(bars: Sequence[LimitBar]) -> tuple[LimitBar, ...]:
    """Those of the whole tenant first, as the plan lists them; then of each limit by key its fullest few."""
    own = [bar for bar in bars if bar.scope == "tenant"]
    parts: dict[str, list[LimitBar]] = {}
    for bar in bars:
        if bar.scope != "tenant":
            parts.setdefault(bar.name, []).append(bar)
    few = [sorted(group, key=lambda bar: -bar.fill) for group in parts.values()]
    return tuple(own + [replace(bar, fewer=max(len(group) - FULLEST, 0)) for group in few for bar in group[:FULLEST]])


def to_bar(use: LimitUse, now_us: int) -> LimitBar:
    """The bar of one limit."""
    fill = min(use.used * 1000 // use.max, 1000) if use.max > 0 else 1000
    level: Level = "full" if fill >= 1000 else "near" if fill >= 800 else "calm"
    # A rolling window that nothing is in has no end to wait for.
    reset_us = None if use.start_us is None and use.used <= 0 else use.reset_us
    line = None
    if use.start_us is not None and use.reset_us is not None and level != "full":
        line = forecast(use.used, use.max, use.start_us, use.reset_us, now_us)
    return LimitBar(
        use.name, use.meter, use.scope, use.window, use.mode, use.used, use.max, reset_us, fill, level, line
    )


async def _from_ledger(services: UiServices, tenant: Tenant, now_us: int) -> list[LimitUse]:
    """Windows of the whole tenant, summed from the ledger; those by key or address live in the counters alone."""
    plan = services.snapshot().plans.get(tenant.plan)
    uses = []
    for limit in plan.limits if plan else ():
        bounds = _bounds(limit, tenant, now_us)
        if bounds is None or limit.by != ("tenant",):
            continue
        start_us, end_us = bounds
        used = await services.store.ledger.quota_sums(
            PLATFORM, tenant.id, limit.meter, start_us, now_us + SECOND_US, routes=limit.routes
        )
        maximum = tenant.limits.get(limit.name, {}).get("max", limit.max)
        calendar = isinstance(limit.window, CalendarWindow)
        uses.append(
            LimitUse(
                limit.name,
                limit.meter,
                used,
                maximum,
                window_words(limit),
                end_us if calendar else None,
                limit.mode,
                "tenant",
                start_us if calendar else None,
            )
        )
    return uses


def _bounds(limit: Limit, tenant: Tenant, now_us: int) -> tuple[int, int] | None:
    match limit.window:
        case None:
            return None
        case DurationWindow(length_us):
            return now_us - length_us, now_us
        case CalendarWindow("billing_period"):
            period = anchored_period(from_us(now_us), "month", anchor_of(tenant), zone_of(tenant))
        case CalendarWindow(unit):
            period = calendar_period(from_us(now_us), _unit(unit), zone_of(tenant))
    return to_us(period.start), to_us(period.end)


def _unit(unit: str) -> CalendarUnit:
    assert unit != "billing_period"
    return unit  # type: ignore[return-value]


def window_words(limit: Limit) -> str:
    """``per month``, ``per 90 s``, ``at once``."""
    match limit.window:
        case None:
            return "at once"
        case CalendarWindow(unit):
            return f"per {unit.replace('_', ' ')}"
        case DurationWindow(length_us):
            words = {1: "second", 60: "minute", 3600: "hour", 86400: "day", 604800: "week"}
            return f"per {words.get(length_us // SECOND_US) or duration(length_us)}"
