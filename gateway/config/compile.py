"""A valid document to the immutable ``Snapshot`` that processes serve by."""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from gateway.config import snapshot as compiled
from gateway.config import traffic
from gateway.config.defaults import with_defaults
from gateway.config.fields import split_address, split_http_url
from gateway.config.limit_schema import LimitOverride, compile_limits, reported_kinds
from gateway.config.schema import SOURCES, Document, KeyBlock, MeterBlock, RouteBlock, TenantBlock, UpstreamBlock
from gateway.config.snapshot import PlanLimits, ServerSettings, Snapshot, SpoolSettings
from gateway.period import to_us
from gateway.quotas.limit import Reported
from gateway.routing.route import Meter, Route, Target, UnitSource, Upstream
from gateway.tenants.model import Key, Tenant

CALLS = Meter("calls", "constant", 1)


def compile_snapshot(document: Mapping[str, object], folder: Path, version: int) -> Snapshot:
    """The snapshot of a document that was accepted before; raises ``pydantic.ValidationError``."""
    full = with_defaults(dict(document))
    return compile_document(Document.model_validate(full), full, folder, version)


def compile_document(document: Document, source: dict[str, object], folder: Path, version: int) -> Snapshot:
    """The snapshot of a valid document; ``source`` is the same in plain JSON types."""
    server = document.server
    return Snapshot(
        version=version,
        folder=folder,
        data_dir=folder / document.data_dir,
        store_url=document.store.url,
        counters_url=document.counters.url,
        counters_deadline_us=document.counters.deadline,
        server=ServerSettings(
            listen=_address(server.listen),
            control=_address(server.control),
            portal=_address(server.portal) if server.portal is not None else None,
            public_url=server.public_url.rstrip("/"),
            workers=server.workers,
            trusted_proxies=tuple(server.trusted_proxies),
            metrics_allow=tuple(server.metrics_allow),
            tls=traffic.listener_tls(server.tls, folder),
            clients=traffic.client_settings(server.clients),
        ),
        spool=SpoolSettings(
            document.spool.fsync, document.spool.on_error, document.spool.max_size, document.spool.keep
        ),
        headers=document.headers,
        address_mode=document.calls.address,
        calls_keep_us=document.calls.keep,
        plugins=tuple(folder / plugin for plugin in document.plugins),
        upstreams=_upstreams(document, folder),
        routes=compile_routes(document, folder),
        plans={
            name: PlanLimits(name, plan_version(name, source), compile_limits(plan.limits, reported_meters(document)))
            for name, plan in document.plans.items()
        },
        tenants={name: _tenant(name, block) for name, block in document.tenants.items()},
        keys=tuple(_key(name, key) for name, block in document.tenants.items() for key in block.keys),
        source=source,
    )


def plan_version(name: str, source: Mapping[str, object]) -> str:
    """12 hex digits of the SHA-256 of what a plan limits and charges; the order of fields does not matter."""
    plans = source["plans"]
    assert isinstance(plans, dict)
    plan = plans[name] or {}
    content = {field: plan.get(field) for field in ("limits", "prices", "billing", "currency") if plan.get(field)}
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def compile_routes(document: Document, folder: Path = Path()) -> tuple[Route, ...]:
    """All routes; each names an upstream that exists."""
    upstreams = _upstreams(document, folder)
    return tuple(_route(name, block, upstreams[block.upstream]) for name, block in document.routes.items())


def _address(text: str) -> compiled.Address:
    return compiled.Address(*split_address(text))


def _upstreams(document: Document, folder: Path) -> dict[str, Upstream]:
    return {name: _upstream(name, block, folder) for name, block in document.upstreams.items()}


def _upstream(name: str, block: UpstreamBlock, folder: Path) -> Upstream:
    tls = traffic.upstream_tls(block.tls, folder)
    targets = tuple(Target(*split_http_url(target.url), target.weight, tls) for target in block.targets)
    return Upstream(
        name, targets, block.connect_timeout, block.read_timeout, traffic.health(block.health), block.balance,
        traffic.ejection(block.eject), block.max_connections,
    )  # fmt: skip


def reported_meters(document: Document) -> dict[str, Reported]:
    """The meters of events that no call has: what adds up, and what is a level."""
    of_calls = {meter for route in document.routes.values() for meter in route.meters} | {"calls"}
    return reported_kinds(((event.meter, event.aggregate) for event in document.events.values()), of_calls)


def _route(name: str, block: RouteBlock, upstream: Upstream) -> Route:
    meters = {meter: _meter(meter, how) for meter, how in block.meters.items()}
    return Route(
        name=name,
        upstream=upstream,
        paths=tuple(block.match.paths),
        methods=frozenset(block.match.methods),
        hosts=tuple(block.match.hosts),
        strip_prefix=block.strip_prefix,
        auth=block.auth,
        # A call is a call whatever else is metered; ``calls: 0`` says otherwise.
        meters=tuple(({"calls": CALLS} | meters).values()),
        billable=tuple(block.billable),
        host=block.host,
        query_key=block.query_key or "",
        scopes=frozenset(block.scopes or ()),
        rewrite_prefix=block.rewrite_prefix,
        connect_timeout_us=block.connect_timeout,
        read_timeout_us=block.read_timeout,
        tunnel_idle_us=block.tunnel_idle,
        request_headers=traffic.header_rules(block.request_headers),
        response_headers=traffic.header_rules(block.response_headers),
        cors=traffic.cors(block.cors),
        allow=tuple(block.addresses.allow),
        deny=tuple(block.addresses.deny),
        options={} if block.max_body is None else {"max_body": block.max_body},
    )


def _meter(name: str, block: MeterBlock) -> Meter:
    source = next(name for name in SOURCES if _given(block, name) is not None)
    value = _given(block, source)
    return Meter(
        name=name,
        source=source,
        amount=block.constant or 0,
        path=str(value).lower() if source == "header" else str(value) if source in ("json", "sse") else "",
        estimate=block.estimate,
        max=block.max,
        missing=block.missing,
        expose=block.expose,
        scan=block.scan,
        drain_us=block.drain,
    )


def _given(block: MeterBlock, source: UnitSource) -> object:
    return getattr(block, "json_" if source == "json" else source)


def _tenant(name: str, block: TenantBlock) -> Tenant:
    return Tenant(
        id=name,
        name=block.name or name,
        plan=block.plan,
        timezone=block.timezone,
        billing_cycle=block.billing_cycle,
        limits={limit: _override(override) for limit, override in block.limits.items()},
        anchor=block.start if block.start is not None and block.alignment != "calendar" else "",
    )


def _override(block: LimitOverride) -> dict[str, int]:
    given = {"max": block.max if block.concurrent is None else block.concurrent, "burst": block.burst}
    return {name: value for name, value in given.items() if value is not None}


def _key(tenant: str, block: KeyBlock) -> Key:
    return Key(
        id=block.id,
        tenant=tenant,
        hash=bytes.fromhex(block.hash.removeprefix("sha256:")),
        name=block.name or block.id,
        scopes=tuple(block.scopes),
        expires_us=_midnight_us(block.expires) if block.expires else None,
    )


def _midnight_us(day: str) -> int:
    """A key expires when its day begins, UTC."""
    return to_us(datetime.fromisoformat(day).replace(tzinfo=UTC))
