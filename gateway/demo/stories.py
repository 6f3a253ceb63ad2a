"""What the demo's tenants are like: who calls what, how much, and at which hours."""

from dataclasses import dataclass
from zoneinfo import ZoneInfo

from gateway.config.snapshot import Snapshot
from gateway.errors import GatewayError
from gateway.period import CalendarUnit
from gateway.quotas.limit import CalendarWindow, Limit
from gateway.tenants.model import Tenant

NEARLY_FULL = "acme"  # at 82 % of its monthly limit
PAYING = "globex"  # has an open bill
FREE = "initech"  # on the free plan; its key is the one to try
TENANTS = (FREE, NEARLY_FULL, PAYING)
NEARLY_FULL_PERCENT = 82

MONTH: CalendarUnit = "month"

# Calls an hour relative to the busiest, local time from midnight; offices sleep at night and rest at weekends.
HOURS = (6, 5, 4, 4, 5, 9, 18, 34, 62, 86, 96, 92, 78, 84, 98, 100, 94, 82, 60, 44, 33, 24, 16, 10)
WEEKDAYS = (95, 100, 98, 96, 88, 34, 28)


@dataclass(frozen=True, slots=True)
class RouteStory:
    """One route's calls: ``latency_us`` and ``size`` are medians; ``tokens`` is the mean, 0 for none."""

    route: str
    method: str
    path: str
    weight: int
    latency_us: int
    request_bytes: int
    size: int
    status: int = 200
    tokens: int = 0


ROUTES = (
    RouteStory("weather", "GET", "/v1/weather", 62, 11_000, 0, 71),
    RouteStory("messages", "POST", "/messages", 16, 24_000, 58, 92, status=201),
    RouteStory("messages", "GET", "/messages/msg_{number}", 12, 8_000, 0, 92),
    RouteStory("chat", "POST", "/v1/chat/completions", 10, 950_000, 310, 2_600, tokens=420),
)


@dataclass(frozen=True, slots=True)
class Story:
    """One tenant's share of the history. ``keys`` are key ids, the busiest first; ``plan`` is the plan's version.

    ``monthly`` is how many counted calls the current calendar month must end up with; None leaves it to ``daily``.
    """

    tenant: str
    plan: str
    zone: ZoneInfo
    keys: tuple[str, ...]
    daily: int
    routes: tuple[RouteStory, ...] = ROUTES
    monthly: int | None = None


def month_limit(snapshot: Snapshot, tenant: Tenant) -> int | None:
    """The most calls that a tenant may make in a calendar month, by its plan and overrides; None without a limit."""
    limits = [limit for limit in snapshot.plans[tenant.plan].limits if _is_monthly(limit)]
    return min((tenant.limits.get(limit.name, {}).get("max", limit.max) for limit in limits), default=None)


def _is_monthly(limit: Limit) -> bool:
    return limit.meter == "calls" and limit.window == CalendarWindow(MONTH) and not limit.routes


def daily_calls(tenant: str) -> int:
    """About how many calls a tenant makes in a day."""
    return {NEARLY_FULL: 420, PAYING: 260, FREE: 9}.get(tenant, 0)


def demo_tenants(snapshot: Snapshot) -> tuple[Tenant, ...]:
    """The demo's tenants as configured; raises ``GatewayError`` naming those that the configuration lacks."""
    missing = [name for name in TENANTS if name not in snapshot.tenants]
    if missing:
        raise GatewayError(
            f"the demo needs the tenants {', '.join(TENANTS)}; the configuration lacks {', '.join(missing)}. "
            "A configuration of your own runs with: .venv/bin/gateway serve"
        )
    return tuple(snapshot.tenants[name] for name in TENANTS)


def story(snapshot: Snapshot, tenant: Tenant, keys: tuple[str, ...]) -> Story:
    """The story of one of the demo's tenants, with the month's goal for the one that is nearly full."""
    monthly = None
    if tenant.id == NEARLY_FULL and (limit := month_limit(snapshot, tenant)) is not None:
        monthly = -(-limit * NEARLY_FULL_PERCENT // 100)
    version = snapshot.plans[tenant.plan].version
    return Story(tenant.id, version, ZoneInfo(tenant.timezone), keys, daily_calls(tenant.id), monthly=monthly)
