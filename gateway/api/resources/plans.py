"""Plans: those of the configuration, which are read here, and those made here. Each change is a version of its own."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal, assert_never

from pydantic import Field

from gateway.accounts.refused import managed_by_config
from gateway.api.operation import Allowed, Call, Operation, Reply
from gateway.api.problems import NOT_FOUND, ApiError, FieldError
from gateway.api.values import Identity, Listed, Model, Money, PageQuery, page_of
from gateway.clock import SECOND_US
from gateway.config.catalog import plan_prices
from gateway.config.snapshot import Snapshot
from gateway.config.stored_plans import check_plan, with_plans
from gateway.quotas.limit import CalendarWindow, DurationWindow, Limit
from gateway.storage.ports import PLATFORM

PlanToken = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]


class LimitRule(Model):
    """A limit as the plan states it; ``per`` null: calls at once."""

    name: str
    meter: str
    max: int
    per: str | None
    algorithm: Literal["calendar", "sliding", "bucket", "concurrent"]
    burst: int | None
    by: list[str]
    mode: Literal["hard", "soft", "shadow"]
    routes: list[str]


class PlanView(Model):
    """A plan. ``prices`` are as the configuration writes them, amounts as text. ``source`` yaml: the files own it."""

    name: str
    source: Literal["yaml", "store"]
    version: str
    currency: str
    month: Money | None
    year: Money | None
    trial_days: int
    limits: list[LimitRule]
    prices: list[dict[str, Any]]


class PlanList(Listed[PlanView]):
    """Plans by name."""


class PlanChange(Model):
    """A plan as the configuration writes it: `billing: {month: {amount: "99"}}`, `trial: 14d`, limits and prices."""

    currency: str | None = Field(None, pattern="^[A-Z]{3}$")
    trial: str | None = Field(None, pattern="^[0-9]{1,4}d$")
    billing: dict[Literal["month", "year"], dict[Literal["amount"], str]] = {}
    limits: list[dict[str, Any]] = Field([], max_length=50)
    prices: list[dict[str, Any]] = Field([], max_length=50)

    def block(self) -> dict[str, Any]:
        """As the configuration would say it: without what is left out."""
        fields = ("currency", "trial", "billing", "limits", "prices")
        return {name: value for name in fields if (value := getattr(self, name))}


class PlanMake(PlanChange):
    """A new plan."""

    name: PlanToken


async def list_plans(call: Call) -> Reply:
    snapshot = call.services.snapshot()
    plans = [plan_view(snapshot, name) for name in sorted(snapshot.plans)]
    rows, more = page_of(plans, call.query(PageQuery), Identity("name"))
    return Reply(PlanList(data=rows, next=more))


async def get_plan(call: Call) -> Reply:
    snapshot = call.services.snapshot()
    if call.params["plan"] not in snapshot.plans:
        raise NOT_FOUND
    return Reply(plan_view(snapshot, call.params["plan"]))


def plan_view(snapshot: Snapshot, name: str) -> PlanView:
    """A plan as it is now."""
    limits, catalog = snapshot.plans[name], plan_prices(snapshot.source, name)
    plans = snapshot.source.get("plans")
    block = plans.get(name) if isinstance(plans, Mapping) else None
    prices = block.get("prices") if isinstance(block, Mapping) else None
    month, year = catalog.monthly, catalog.yearly
    return PlanView(
        name=name,
        source="store" if name in snapshot.stored_plans else "yaml",
        version=limits.version,
        currency=catalog.currency,
        month=Money.of(month, catalog.currency) if month is not None else None,
        year=Money.of(year, catalog.currency) if year is not None else None,
        trial_days=catalog.trial_days,
        limits=[_rule(limit) for limit in limits.limits],
        prices=[dict(price) for price in prices] if isinstance(prices, list | tuple) else [],
    )


def _rule(limit: Limit) -> LimitRule:
    match limit.window:
        case None:
            per: str | None = None
        case CalendarWindow(unit):
            per = unit
        case DurationWindow(length_us):
            names = {1: "second", 60: "minute", 3600: "hour", 86400: "day", 604800: "week"}
            per = names.get(length_us // SECOND_US, f"{length_us // SECOND_US}s")
        case _:
            assert_never(limit.window)
    return LimitRule.model_validate(
        {
            "name": limit.name, "meter": limit.meter, "max": limit.max, "per": per,
            "algorithm": limit.algorithm.name.lower(), "burst": limit.burst or None, "by": list(limit.by),
            "mode": limit.mode, "routes": list(limit.routes),
        }
    )  # fmt: skip


async def create_plan(call: Call) -> Reply:
    given = call.body(PlanMake)
    return await _put(call, given.name, given, new=True)


async def change_plan(call: Call) -> Reply:
    snapshot, name = call.services.snapshot(), call.params["plan"]
    if name not in snapshot.plans:
        raise NOT_FOUND
    return await _put(call, name, call.body(PlanChange), new=False)


async def _put(call: Call, name: str, given: PlanChange, *, new: bool) -> Reply:
    """A version of a plan. The newest limits hold at once; prices from each subscription's next period on."""
    snapshot, services = call.services.snapshot(), call.services
    if name in snapshot.plans and name not in snapshot.stored_plans:
        raise managed_by_config(f"plan {name}", services.owner_file(("plans", name)))
    block = given.block()
    if faults := check_plan(snapshot, name, block):
        raise ApiError("invalid", errors=tuple(FieldError(fault.field, fault.message) for fault in faults))
    stored = await services.store.plans.current(PLATFORM)
    view = plan_view(with_plans(_without(snapshot, name), {**stored, name: block}), name)
    sequence = await services.store.plans.put(PLATFORM, name, view.version, block, call.now_us, call.user.id, new=new)
    if sequence is not None:
        await services.applied(sequence)
    return Reply(view)


def _without(snapshot: Snapshot, name: str) -> Snapshot:
    """The configuration alone: the store's plans are laid beside it anew."""
    plans = snapshot.source["plans"]
    assert isinstance(plans, dict)
    own = {other: block for other, block in plans.items() if other not in snapshot.stored_plans and other != name}
    return replace(snapshot, source={**snapshot.source, "plans": own}, stored_plans=frozenset())


_READ, _WRITE = Allowed("platform", "read", "platform"), Allowed("platform", "write", "platform")
_REFUSED = ("managed_by_config", "already_exists")

OPERATIONS = (
    Operation("listPlans", "GET", "/plans", "Plans with limits and prices", _READ, list_plans, "platform", PlanList,
              query=PageQuery),
    Operation("getPlan", "GET", "/plans/{plan}", "One plan", _READ, get_plan, "platform", PlanView),
    Operation("listTenantPlans", "GET", "/tenants/{tenant}/plans", "The plans that a tenant may be on",
              Allowed("subscription", "read", "named"), list_plans, "platform", PlanList, query=PageQuery),
    Operation("createPlan", "POST", "/plans", "Make a plan", _WRITE, create_plan, "platform", PlanView, 201, PlanMake,
              errors=_REFUSED),
    Operation("changePlan", "PUT", "/plans/{plan}", "Make another version of a plan", _WRITE, change_plan, "platform",
              PlanView, request=PlanChange, errors=_REFUSED),
)  # fmt: skip
