"""A snapshot compiled into what a call needs: matcher, and per route its stages, amounts, names and statuses."""

from typing import Final

from gateway.config.snapshot import Snapshot
from gateway.hooks.registry import Phase, Registry
from gateway.http.forwarding import CANONICAL
from gateway.metering.extract import BODY_SOURCES
from gateway.proxy.addresses import Addresses
from gateway.proxy.cors import ANSWER_FIELDS, CorsPolicy
from gateway.proxy.header_rules import put_in, rewrite_of, taken_out
from gateway.proxy.metrics import Metrics, RouteMetrics
from gateway.proxy.settings import Settings
from gateway.proxy.targets import Targets
from gateway.quotas.binding import Binding, applying
from gateway.quotas.limit import Limit
from gateway.routing.matcher import Match, Matcher
from gateway.routing.route import Route
from gateway.tenants.model import Principal

_BINDINGS: Final = 1 << 17


def billable_statuses(patterns: tuple[str, ...]) -> frozenset[int]:
    """The statuses that ``2xx``, ``404`` … stand for."""
    return frozenset(
        status
        for status in range(100, 600)
        for pattern in patterns
        if all(p in ("x", digit) for p, digit in zip(pattern.lower(), str(status), strict=True))
    )


class RoutePlan:
    """One route, compiled."""

    __slots__ = (
        "add_request",
        "add_response",
        "admit",
        "amounts",
        "authenticate",
        "bad_names",
        "balancer",
        "billable",
        "body_meters",
        "connect_timeout",
        "cors",
        "drain",
        "drop_request",
        "drop_response",
        "header_meters",
        "host_line",
        "learns",
        "max_body",
        "max_connections",
        "means",
        "measure",
        "measures",
        "metrics",
        "name",
        "proto",
        "query_key",
        "read_timeout",
        "record",
        "request_hooks",
        "response_hooks",
        "rewrite",
        "route",
        "scan",
        "tunnel_idle",
        "upstream_name",
    )  # fmt: skip

    def __init__(
        self, route: Route, targets: Targets, registry: Registry, metrics: RouteMetrics, settings: Settings,
        means: dict[str, float], proto: bytes,
    ) -> None:  # fmt: skip
        self.route = route
        self.name = route.name
        self.proto = proto
        self.upstream_name = route.upstream.name
        self.balancer = targets.balancer(route.upstream)
        self.connect_timeout = (route.connect_timeout_us or route.upstream.connect_timeout_us) / 1e6
        self.max_connections = route.upstream.max_connections
        self.read_timeout = (route.read_timeout_us or route.upstream.read_timeout_us) / 1e6
        self.tunnel_idle = route.tunnel_idle_us / 1e6
        self.rewrite = rewrite_of(route)
        self.cors = CorsPolicy(route.cors) if route.cors is not None else None
        self.metrics = metrics
        self.billable = billable_statuses(route.billable)
        self.authenticate = registry.compiled(Phase.AUTHENTICATE, route)
        self.admit = registry.compiled(Phase.ADMIT, route)
        self.request_hooks = registry.compiled(Phase.REQUEST, route)
        self.response_hooks = registry.compiled(Phase.RESPONSE, route)
        self.measure = registry.compiled(Phase.MEASURE, route)
        self.record = registry.compiled(Phase.RECORD, route)
        self.header_meters = tuple(meter for meter in route.meters if meter.source == "header")
        self.body_meters = tuple(meter for meter in route.meters if meter.source in BODY_SOURCES)
        self.drain = max((meter.drain_us for meter in self.body_meters), default=0) / 1e6
        self.scan = max((meter.scan for meter in self.body_meters), default=0)
        usage = {meter.path.lower().encode() for meter in self.header_meters}
        hidden = {meter.path.lower().encode() for meter in self.header_meters if not meter.expose}
        self.drop_request = frozenset(CANONICAL[name] for name in usage) | taken_out(route.request_headers)
        self.drop_response = frozenset(hidden) | taken_out(route.response_headers)
        if self.cors is not None:
            self.drop_response |= ANSWER_FIELDS
        self.add_request = put_in(route.request_headers)
        self.add_response = put_in(route.response_headers)
        max_body = route.options.get("max_body", settings.max_body)
        self.max_body = max_body if isinstance(max_body, int) else None
        self.query_key = route.query_key.encode()
        self.means = means
        self.measures = any(meter.source != "constant" for meter in route.meters)
        self.learns = any(meter.estimate is None and meter.source != "constant" for meter in route.meters)
        self.amounts = self._amounts()

    def _amounts(self) -> dict[str, int]:
        """What one call reserves, per meter: what it is known to cost, else the estimate (SEMANTICS §9)."""
        return {
            meter.name: meter.amount
            if meter.source == "constant"
            else meter.estimate
            if meter.estimate is not None
            else max(1, round(self.means.get(meter.name, 1.0)))
            for meter in self.route.meters
        }

    def learn(self, units: dict[str, int]) -> None:
        """Move the means of the meters that have no stated estimate towards what a call really cost."""
        for meter in self.route.meters:
            if meter.estimate is None and meter.source != "constant" and meter.name in units:
                old = self.means.get(meter.name, 1.0)
                self.means[meter.name] = old + (units[meter.name] - old) / 16
        self.amounts = self._amounts()


class Bound(Binding):
    """What is the same for all calls of one key on one route: its limits, and the lines that name the caller."""

    __slots__ = ("identity", "key", "plan", "principal", "route", "tenant")

    def __init__(self, principal: Principal, route: RoutePlan, plan: str, limits: list[Limit], secret: bytes) -> None:
        tenant, key = principal.tenant, principal.key
        super().__init__(limits, tenant, key.id, route.name, secret)
        self.principal = principal
        self.route = route
        self.plan = plan
        self.tenant, self.key = tenant.id, key.id
        self.identity = b"X-Tenant-Id: %b\r\nX-Plan: %b\r\n" % (tenant.id.encode(), tenant.plan.encode())


class Plan:
    """One snapshot, compiled; pinned by each call. Pools and metrics live on from plan to plan."""

    def __init__(
        self, snapshot: Snapshot, registry: Registry, metrics: Metrics, settings: Settings,
        targets: Targets, means: dict[str, dict[str, float]], secret: bytes,
    ) -> None:  # fmt: skip
        self.snapshot = snapshot
        self.style = snapshot.headers
        self._settings = settings
        self._secret = secret
        self._bound: dict[tuple[str, str], Bound] = {}
        self._bound_before: dict[tuple[str, str], Bound] = {}  # those of a full ``_bound``, which may come again
        routes = [
            RoutePlan(
                route,
                targets,
                registry,
                metrics.route(route.name),
                settings,
                means.setdefault(route.name, {}),
                b"https" if snapshot.server.tls is not None else b"http",
            )
            for route in snapshot.routes
        ]
        self._matcher: Matcher[RoutePlan] = Matcher((plan.route, plan) for plan in routes)
        self.match = self._matcher.match
        self._addresses = Addresses(snapshot.server.trusted_proxies, snapshot.address_mode, secret)
        self.trusts = self._addresses.trusts
        self.caller = self._addresses.caller
        self.shown_address = self._addresses.shown
        self._versions = {name: f"{limits.name}@{limits.version}" for name, limits in snapshot.plans.items()}
        self.has_cors = any(route.cors is not None for route in snapshot.routes)
        self.upstreams = {route.upstream for route in snapshot.routes}

    @property
    def serves_unmetered(self) -> bool:
        return self.snapshot.spool.on_error == "serve"

    def serves(self, principal: Principal, route: RoutePlan) -> bool:
        """Whether a key was bound to a route before."""
        named = (principal.key.id, route.name)
        return named in self._bound or named in self._bound_before

    def bound(self, principal: Principal, route: RoutePlan) -> Bound:
        """The limits of a key on a route; made anew when its tenant or key changed."""
        last = principal.bound
        if isinstance(last, Bound) and last.route is route and last.principal is principal:
            return last
        named = (principal.key.id, route.name)
        found = self._bound.get(named) or self._bound_before.get(named)
        if found is None or found.principal.tenant != principal.tenant:
            found = self._bind(principal, route)
        if len(self._bound) >= _BINDINGS:
            self._bound_before, self._bound = self._bound, {}
        self._bound[named] = principal.bound = found
        found.principal = principal
        return found

    def _bind(self, principal: Principal, route: RoutePlan) -> Bound:
        tenant = principal.tenant
        plan = self.snapshot.plans.get(tenant.plan)
        limits = applying(plan.limits, tenant.limits, route.name) if plan else []
        return Bound(principal, route, self._versions.get(tenant.plan, tenant.plan), limits, self._secret)


__all__ = ["Bound", "Match", "Plan", "RoutePlan", "billable_statuses"]
