"""``/metrics`` in the Prometheus text format, for addresses in ``server.metrics_allow`` only.

Labels are route, status class and reason, never tenant or key. The figures are what workers and shipper published
within the last half second; counters start from zero when a worker starts, as Prometheus expects.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from ipaddress import ip_address, ip_network
from typing import Any

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
Published = Mapping[str, Any]


class GatewayCollector(Collector):
    """Turns what the processes published into metric families. ``workers`` and ``shipper`` are read at each scrape."""

    def __init__(self, workers: Callable[[], list[Published]], shipper: Callable[[], Published]) -> None:
        self._workers = workers
        self._shipper = shipper

    def collect(self) -> Iterator[Metric]:
        workers = self._workers()
        yield from _traffic(workers)
        yield from _gauges(workers, self._shipper())


def _sum(workers: Iterable[Published], field: str) -> dict[str, float]:
    total: dict[str, float] = {}
    for worker in workers:
        for label, value in worker.get(field, {}).items():
            total[label] = total.get(label, 0) + value
    return total


def _traffic(workers: list[Published]) -> Iterator[Metric]:
    requests = CounterMetricFamily(
        "gateway_requests", "Calls forwarded, by route and status class.", labels=["route", "status_class"]
    )
    for label, value in sorted(_sum(workers, "requests").items()):
        route, _, status_class = label.rpartition("|")
        requests.add_metric([route, status_class], value)
    yield requests
    refusals = CounterMetricFamily("gateway_refusals", "Calls refused, by reason.", labels=["reason"])
    for reason, value in sorted(_sum(workers, "refusals").items()):
        refusals.add_metric([reason], value)
    yield refusals
    failures = CounterMetricFamily("gateway_upstream_errors", "Upstream attempts that failed.", labels=["reason"])
    for reason, value in sorted(_sum(workers, "upstream_errors").items()):
        failures.add_metric([reason], value)
    yield failures
    latency = HistogramMetricFamily(
        "gateway_request_duration_seconds", "From head to last byte, by route.", labels=["route"]
    )
    for route, buckets, total in _histograms(workers, "latency"):
        latency.add_metric([route], buckets=buckets, sum_value=total)
    yield latency
    waits = HistogramMetricFamily(
        "gateway_counter_wait_seconds", "From asking a shared counter store to its decision, or policy's in its place."
    )
    for _, buckets, total in _histograms(workers, "store_waits"):
        waits.add_metric([], buckets=buckets, sum_value=total)
    yield waits


def _histograms(workers: list[Published], field: str) -> Iterator[tuple[str, list[tuple[str, float]], float]]:
    merged: dict[str, tuple[list[float], float]] = {}
    bounds: list[float] = []
    for worker in workers:
        bounds = worker.get("latency_bounds_us", bounds)
        for route, histogram in worker.get(field, {}).items():
            counts, total = merged.get(route, ([0.0] * len(histogram["counts"]), 0.0))
            merged[route] = (
                [a + b for a, b in zip(counts, histogram["counts"], strict=True)],
                total + histogram["sum_us"] / 1e6,
            )
    for route, (counts, total) in sorted(merged.items()):
        running, buckets = 0.0, []
        for bound, count in zip([*(str(b / 1e6) for b in bounds), "+Inf"], counts, strict=True):
            running += count
            buckets.append((bound, running))
        yield route, buckets, total


def _gauges(workers: list[Published], shipper: Published) -> Iterator[Metric]:
    yield CounterMetricFamily(
        "gateway_unmetered_calls",
        "Calls served without a record because the spool took none.",
        value=sum(w.get("unmetered", 0) for w in workers),
    )
    yield CounterMetricFamily(
        "gateway_calls_passed_by_policy",
        "Calls served while the counter store did not answer (on_store_error).",
        value=sum(w.get("passed_by_policy", 0) for w in workers),
    )
    yield GaugeMetricFamily(
        "gateway_counter_wait_seconds_max",
        "The longest such wait of any worker since its start.",
        value=max((w.get("longest_store_wait_us", 0) for w in workers), default=0) / 1e6,
    )
    yield GaugeMetricFamily(
        "gateway_ejected_targets",
        "Upstream targets that get no calls, each counted once per worker that ejected it.",
        value=sum(not up for worker in workers for up in worker.get("targets", {}).values()),
    )
    yield GaugeMetricFamily("gateway_workers", "Workers that published lately.", value=len(workers))
    yield GaugeMetricFamily(
        "gateway_open_connections", "Client connections.", value=sum(w.get("open_connections", 0) for w in workers)
    )
    yield GaugeMetricFamily(
        "gateway_state_age_seconds",
        "Age of the oldest worker's view of keys and tenants.",
        value=max((w.get("state_age_seconds", 0) for w in workers), default=0),
    )
    yield GaugeMetricFamily(
        "gateway_spool_bytes", "Bytes of the spool.", value=max((w.get("spool_bytes", 0) for w in workers), default=0)
    )
    yield GaugeMetricFamily(
        "gateway_spool_fill_ratio",
        "How full the spool is: at 1, calls are refused or served without a record (spool.on_error).",
        value=max((w.get("spool_fill", 0) for w in workers), default=0),
    )
    yield GaugeMetricFamily(
        "gateway_store_up", "Whether the shipper reaches the store.", value=bool(shipper) and not shipper["store_error"]
    )
    for name, text in (
        ("ledger_lag_seconds", "Age of the oldest record that is not in the ledger."),
        ("shipped_records", "Records shipped since the shipper started."),
        ("lost_records", "Spool entries that could not be read, since the shipper started."),
        ("hosts", "Hosts that shipped into the store in the last minute."),
    ):
        yield GaugeMetricFamily(f"gateway_{name}", text, value=shipper.get(name, 0))


def metrics_routes(collector: Collector, allow: Callable[[], tuple[str, ...]]) -> list[web.RouteDef]:
    """The route; others than the allowed networks get 403."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(collector)

    async def metrics(request: web.Request) -> web.Response:
        peer = request.transport.get_extra_info("peername") if request.transport else None
        if peer is None or not any(ip_address(peer[0]) in ip_network(net, strict=False) for net in allow()):
            raise web.HTTPForbidden(text="metrics: this address is not in server.metrics_allow\n")
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE})

    return [web.get("/metrics", metrics)]
