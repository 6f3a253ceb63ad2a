"""The live use of a tenant's limits, read from the counters without taking anything."""

from collections.abc import Callable, Iterator, Sequence

from gateway.config.snapshot import Snapshot
from gateway.quotas.binding import Binding, bind
from gateway.quotas.limit import Algorithm
from gateway.quotas.reported import room_above
from gateway.runtime.counting import CounterDesk
from gateway.tenants.model import Key, Tenant
from gateway.ui.limits import window_words
from gateway.ui.services import LimitUse


def limit_reader(
    counters: CounterDesk, snapshot: Callable[[], Snapshot]
) -> Callable[[Tenant, Sequence[Key]], list[LimitUse]]:
    """A reader of ``LimitUse``. Limits by address belong to callers and are not shown."""

    def read(tenant: Tenant, keys: Sequence[Key]) -> list[LimitUse]:
        return [use(counters, binding, scope) for binding, scope in bindings(snapshot(), tenant, keys)]

    return read


def bindings(snapshot: Snapshot, tenant: Tenant, keys: Sequence[Key]) -> Iterator[tuple[Binding, str]]:
    """Each limit of a tenant bound by itself: once, or once a live key, or once a route, as its ``by`` says."""
    plan = snapshot.plans.get(tenant.plan)
    for limit in plan.limits if plan else ():
        if "address" in limit.by:
            continue
        chosen = [(key.id, key.name or key.id) for key in keys if key.revoked_us is None]
        routes = [route.name for route in snapshot.routes if not limit.routes or route.name in limit.routes]
        for key_id, key_name in chosen if "key" in limit.by else [("", "")]:
            for route in routes if "route" in limit.by else routes[:1]:
                words = [f"key {key_name}"] if key_id else []
                words += [f"route {route}"] if "route" in limit.by else []
                yield bind((limit,), tenant.limits, tenant, key_id, route), " · ".join(words) or "tenant"


def use(counters: CounterDesk, binding: Binding, scope: str) -> LimitUse:
    """What one bound limit has used now."""
    (bound,) = binding.counters(counters.now())
    (state,) = counters.read((bound,))
    calendar = bound.algorithm is Algorithm.CALENDAR
    concurrent = bound.algorithm is Algorithm.CONCURRENT
    size = bound.burst or bound.max
    return LimitUse(
        name=state.limit.name,
        meter="calls at once" if concurrent else state.limit.meter,
        used=size - state.remaining + state.over,
        max=size - room_above(bound.limit),
        window=window_words(state.limit),
        reset_us=None if concurrent else state.reset_us,
        mode=state.limit.mode,
        scope=scope,
        start_us=bound.bounds.start_us if calendar and bound.bounds else None,
    )
