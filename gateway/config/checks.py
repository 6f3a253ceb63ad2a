"""What no single block can tell: names that must exist elsewhere, ids and hashes that must be unique, files.

Each check yields ``(field path, message)``; all of them run, so that every fault is reported at once.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.config.compile import compile_routes, reported_meters
from gateway.config.fields import split_address
from gateway.config.limit_schema import window_of
from gateway.config.nearest import hint
from gateway.config.people_checks import check_people
from gateway.config.price_schema import BasePrice, FlatPrice
from gateway.config.schema import Document, PlanBlock, TenantBlock
from gateway.config.traffic import check_traffic
from gateway.config.yaml_tree import FieldPath, dotted
from gateway.quotas.limit import Algorithm
from gateway.routing.conflicts import find_conflicts

Problem = tuple[FieldPath, str]


@dataclass(frozen=True, slots=True)
class Known:
    """The names that are written, whether or not what they name is right."""

    upstreams: frozenset[str]
    routes: frozenset[str]
    plans: frozenset[str]
    meters: frozenset[str]


def known_names(document: Mapping[str, object]) -> Known:
    """The names in a document that may hold anything."""
    routes = _map(document.get("routes"))
    meters = {name for route in routes.values() for name in _map(_map(route).get("meters"))}
    meters |= {str(_map(event).get("meter")) for event in _map(document.get("events")).values()}
    return Known(
        frozenset(_map(document.get("upstreams"))),
        frozenset(routes),
        frozenset(_map(document.get("plans"))),
        frozenset({"calls"} | meters),
    )


def _map(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}


def cross_check(document: Document, known: Known, folder: Path) -> Iterator[Problem]:
    """Every fault between blocks. ``document`` may lack entries that are ``known`` but wrong by themselves."""
    yield from _something_to_serve(known)
    yield from _listeners(document)
    yield from _shared_store(document)
    yield from _plugins(document, folder)
    yield from _routes(document, known)
    yield from check_people(document, known.plans)
    yield from check_traffic(document, folder)
    events = reported_meters(document)
    for name, plan in document.plans.items():
        yield from _plan(name, plan, document.billing.currency, known, events)
    yield from _tenants(document, known)


def _something_to_serve(known: Known) -> Iterator[Problem]:
    if not known.upstreams:
        yield ("upstreams",), "needs at least one entry"
    if not known.routes:
        yield ("routes",), "needs at least one entry"


def _listeners(document: Document) -> Iterator[Problem]:
    taken: dict[tuple[str, int], str] = {}
    for name in ("listen", "control", "portal"):
        text = getattr(document.server, name)
        if text is None:
            continue
        address = split_address(text)
        if address[1] and address in taken:
            yield ("server", name), f"{text} is also server.{taken[address]}"
        taken.setdefault(address, name)


def _shared_store(document: Document) -> Iterator[Problem]:
    if document.store.url.startswith("postgresql:") and not document.accounts.secret:
        # A generated secret is of one host: another one would end the sessions that this one began.
        yield ("accounts", "secret"), "must be set with PostgreSQL, the same on every host"


def _plugins(document: Document, folder: Path) -> Iterator[Problem]:
    for index, plugin in enumerate(document.plugins):
        if not (folder / plugin).is_file():
            yield ("plugins", index), f"no file {folder / plugin}"


def _routes(document: Document, known: Known) -> Iterator[Problem]:
    complete = True
    for name, route in document.routes.items():
        complete = complete and route.upstream in document.upstreams
        if route.upstream not in known.upstreams:
            near = hint(route.upstream, known.upstreams)
            yield ("routes", name, "upstream"), f'no upstream "{route.upstream}"{near}'
        for meter, block in route.meters.items():
            if (block.estimate or 0) > block.max:
                yield ("routes", name, "meters", meter, "estimate"), f"is above max {block.max}"
            if (block.missing or 0) > block.max:
                yield ("routes", name, "meters", meter, "missing"), f"is above max {block.max}"
    if complete:
        for conflict in find_conflicts(compile_routes(document)):
            yield ("routes",), str(conflict)


def _plan(
    name: str, plan: PlanBlock, billing_currency: str, known: Known, events: Collection[str]
) -> Iterator[Problem]:
    seen: dict[str, int] = {}
    for index, limit in enumerate(plan.limits):
        path: FieldPath = ("plans", name, "limits", index)
        if limit.name in seen:
            yield (*path, "name"), f"{dotted(('plans', name, 'limits', seen[limit.name]))} has this name too"
        seen.setdefault(limit.name, index)
        if limit.meter not in known.meters:
            yield (*path, "meter"), f'no route has a meter "{limit.meter}"{hint(limit.meter, known.meters)}'
        for position, route in enumerate(limit.routes):
            if route not in known.routes:
                yield (*path, "routes", position), f'no route "{route}"{hint(route, known.routes)}'
        if limit.meter in events and limit.concurrent is None:
            if window_of(limit)[0] is not Algorithm.CALENDAR:
                yield (
                    (*path, "meter"),
                    f'"{limit.meter}" is reported by events: per day or longer, or algorithm: calendar',
                )
            if limit.by != ["tenant"]:
                yield (*path, "by"), f'"{limit.meter}" is reported by events, which are a tenant\'s: by tenant only'
    yield from _prices(("plans", name, "prices"), plan.prices, plan.currency or billing_currency, known)


def _prices(path: FieldPath, prices: Sequence[BasePrice], currency: str, known: Known) -> Iterator[Problem]:
    for index, price in enumerate(prices):
        place = (*path, index)
        if not isinstance(price, FlatPrice) and price.meter not in known.meters:
            yield (*place, "meter"), f'no route has a meter "{price.meter}"{hint(price.meter, known.meters)}'
        if price.currency is not None and price.currency != currency:  # SEMANTICS §38: nothing is ever converted
            yield (*place, "currency"), f"the plan's currency is {currency}, and nothing is converted"


def _tenants(document: Document, known: Known) -> Iterator[Problem]:
    ids: dict[str, FieldPath] = {}
    hashes: dict[str, FieldPath] = {}
    for name, tenant in document.tenants.items():
        path: FieldPath = ("tenants", name)
        if name.startswith("ten_"):
            yield path, "ids that start with ten_ are given by the gateway"
        yield from _subscription(path, tenant, document, known)
        for index, key in enumerate(tenant.keys):
            place = (*path, "keys", index)
            if key.id.startswith("key_"):
                yield (*place, "id"), "ids that start with key_ are given by the gateway"
            if key.id in ids:
                yield (*place, "id"), f'"{key.id}" is also the id of {dotted(ids[key.id])}'
            if key.hash in hashes:
                yield (*place, "hash"), f"the same key is {dotted(hashes[key.hash])}"
            ids.setdefault(key.id, place)
            hashes.setdefault(key.hash, place)


def _subscription(path: FieldPath, tenant: TenantBlock, document: Document, known: Known) -> Iterator[Problem]:
    if tenant.plan not in known.plans:
        yield (*path, "plan"), f'no plan "{tenant.plan}"{hint(tenant.plan, known.plans)}'
    plan = document.plans.get(tenant.plan)
    if plan is None:
        return
    if tenant.alignment == "anniversary" and tenant.start is None:
        yield (*path, "alignment"), "needs a start: the day that periods count from"
    if tenant.tax.region is not None and tenant.tax.region not in document.billing.tax.rates:
        near = hint(tenant.tax.region, document.billing.tax.rates)
        yield (*path, "tax", "region"), f'billing.tax has no rates for "{tenant.tax.region}"{near}'
    yield from _prices((*path, "prices"), tenant.prices, plan.currency or document.billing.currency, known)
    limits = {limit.name: limit for limit in plan.limits}
    for name, override in tenant.limits.items():
        place = (*path, "limits", name)
        limit = limits.get(name)
        if limit is None:
            yield place, f'the plan "{tenant.plan}" has no limit "{name}"{hint(name, limits)}'
        elif limit.concurrent is None and override.concurrent is not None:
            yield (*place, "concurrent"), f"{name} is no concurrent limit; override its max"
        elif limit.algorithm != "bucket" and override.burst is not None:
            yield (*place, "burst"), f"{name} has no burst"
        elif override.max is None and override.burst is None and override.concurrent is None:
            yield place, "overrides nothing; give it a max"
        elif override.max is not None and override.concurrent is not None:
            yield place, "give max or concurrent, not both"
