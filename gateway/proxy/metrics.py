"""A worker's own counters: plain numbers, changed on its one thread, published by the runtime."""

from bisect import bisect_left
from typing import Final

LATENCY_BOUNDS_US: Final[tuple[int, ...]] = (
    1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000,
    10_000_000, 30_000_000, 60_000_000,
)  # fmt: skip
_CLASSES: Final[tuple[str, ...]] = ("0xx", "1xx", "2xx", "3xx", "4xx", "5xx")


class RouteMetrics:
    """One route's figures. ``latency`` counts calls per bucket of ``LATENCY_BOUNDS_US``, the last one above all."""

    __slots__ = ("latency", "statuses", "sum_us")

    def __init__(self) -> None:
        self.statuses = [0] * len(_CLASSES)
        self.latency = [0] * (len(LATENCY_BOUNDS_US) + 1)
        self.sum_us = 0

    def observe(self, status: int, duration_us: int) -> None:
        """One call ended."""
        self.statuses[min(status // 100, 5)] += 1
        self.latency[bisect_left(LATENCY_BOUNDS_US, duration_us)] += 1
        self.sum_us += duration_us


class Metrics:
    """All of a worker's figures since its start; they outlive a change of configuration."""

    def __init__(self) -> None:
        self.routes: dict[str, RouteMetrics] = {}
        self.refusals: dict[str, int] = {}
        self.upstream_errors: dict[str, int] = {}
        self.open_connections = 0
        self.targets: dict[str, int] = {}
        """``upstream|url``: 1 for a target that takes calls, 0 for one that is ejected."""
        self.unmetered = 0
        """Calls served whose record the disk did not take (``spool.on_error: serve``)."""
        self.passed_by_policy = 0
        """Calls served while the counter store did not answer (``on_store_error``)."""
        self.store_waits = RouteMetrics()
        """From a call's reserve to its decision, the store's or policy's, where the store must be waited for."""
        self.longest_store_wait_us = 0

    def route(self, name: str) -> RouteMetrics:
        """The figures of a route, made when first asked for."""
        return self.routes.setdefault(name, RouteMetrics())

    def waited(self, wait_us: int) -> None:
        """A call waited for the counter store, or for its deadline."""
        self.store_waits.observe(0, wait_us)
        if wait_us > self.longest_store_wait_us:
            self.longest_store_wait_us = wait_us

    def refused(self, code: str) -> None:
        """A call was refused with this ``code``."""
        self.refusals[code] = self.refusals.get(code, 0) + 1

    def ended(self, reason: str) -> None:
        """A stream or tunnel was ended at a checkpoint."""
        self.refusals[reason] = self.refusals.get(reason, 0) + 1

    def upstream_failed(self, reason: str) -> None:
        """An attempt to reach an upstream failed."""
        self.upstream_errors[reason] = self.upstream_errors.get(reason, 0) + 1

    def as_dict(self) -> dict[str, object]:
        """Everything as plain JSON types; ``requests`` is keyed ``route|class``."""
        return {
            "requests": {
                f"{name}|{status_class}": count
                for name, route in self.routes.items()
                for status_class, count in zip(_CLASSES, route.statuses, strict=True)
                if count
            },
            "refusals": dict(self.refusals),
            "upstream_errors": dict(self.upstream_errors),
            "latency_bounds_us": list(LATENCY_BOUNDS_US),
            "latency": {
                name: {"counts": list(route.latency), "sum_us": route.sum_us} for name, route in self.routes.items()
            },
            "open_connections": self.open_connections,
            "targets": dict(self.targets),
            "unmetered": self.unmetered,
            "passed_by_policy": self.passed_by_policy,
            "store_waits": {"": {"counts": list(self.store_waits.latency), "sum_us": self.store_waits.sum_us}},
            "longest_store_wait_us": self.longest_store_wait_us,
        }
