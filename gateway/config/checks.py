"""What no single block can tell: names that must exist elsewhere, ids and hashes that must be unique, files.

Each check yields ``(field path, message)``; all of them run, so that every fault is reported at once.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from gateway.config.compile import compile_routes
from gateway.config.fields import split_address
from gateway.config.nearest import hint
from gateway.config.schema import Document, PlanBlock, TenantBlock
from gateway.config.yaml_tree import FieldPath, dotted
from gateway.routing.route import Route

Problem = tuple[FieldPath, str]


def cross_check(document: Document, folder: Path) -> Iterator[Problem]:
    """Every fault between blocks."""
    yield from _something_to_serve(document)
    yield from _listeners(document)
    yield from _plugins(document, folder)
    yield from _routes(document)
    meters = {"calls"} | {name for route in document.routes.values() for name in route.meters}
    for name, plan in document.plans.items():
        yield from _plan(name, plan, document, meters)
    yield from _tenants(document)


def _something_to_serve(document: Document) -> Iterator[Problem]:
    for section in ("upstreams", "routes"):
        if not getattr(document, section):
            yield (section,), "needs at least one entry"


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


def _plugins(document: Document, folder: Path) -> Iterator[Problem]:
    for index, plugin in enumerate(document.plugins):
        if not (folder / plugin).is_file():
            yield ("plugins", index), f"no file {folder / plugin}"


def _routes(document: Document) -> Iterator[Problem]:
    complete = True
    for name, route in document.routes.items():
        if route.upstream not in document.upstreams:
            complete = False
            near = hint(route.upstream, document.upstreams)
            yield ("routes", name, "upstream"), f'no upstream "{route.upstream}"{near}'
        for meter, block in route.meters.items():
            if (block.estimate or 0) > block.max:
                yield ("routes", name, "meters", meter, "estimate"), f"is above max {block.max}"
            if (block.missing or 0) > block.max:
                yield ("routes", name, "meters", meter, "missing"), f"is above max {block.max}"
    if complete:
        for conflict in _find_conflicts(compile_routes(document)):
            yield ("routes",), str(conflict)


def _find_conflicts(routes: tuple[Route, ...]) -> Sequence[object]:
    try:
        from gateway.routing.matcher import find_conflicts
    except ImportError:
        return ()
    return find_conflicts(routes)


def _plan(name: str, plan: PlanBlock, document: Document, meters: set[str]) -> Iterator[Problem]:
    seen: dict[str, int] = {}
    for index, limit in enumerate(plan.limits):
        path: FieldPath = ("plans", name, "limits", index)
        if limit.name in seen:
            yield (*path, "name"), f"{dotted(('plans', name, 'limits', seen[limit.name]))} has this name too"
        seen.setdefault(limit.name, index)
        if limit.meter not in meters:
            yield (*path, "meter"), f'no route has a meter "{limit.meter}"{hint(limit.meter, meters)}'
        for position, route in enumerate(limit.routes):
            if route not in document.routes:
                yield (*path, "routes", position), f'no route "{route}"{hint(route, document.routes)}'
    currency = plan.currency or document.billing.currency
    for index, price in enumerate(plan.prices):
        path = ("plans", name, "prices", index)
        if price.type != "flat" and price.meter not in meters:
            yield (*path, "meter"), f'no route has a meter "{price.meter}"{hint(price.meter, meters)}'
        if price.currency is not None and price.currency != currency:  # SEMANTICS §38: nothing is ever converted
            yield (*path, "currency"), f"the plan's currency is {currency}, and nothing is converted"


def _tenants(document: Document) -> Iterator[Problem]:
    ids: dict[str, FieldPath] = {}
    hashes: dict[str, FieldPath] = {}
    for name, tenant in document.tenants.items():
        path: FieldPath = ("tenants", name)
        if name.startswith("ten_"):
            yield path, "ids that start with ten_ are given by the gateway"
        yield from _subscription(path, tenant, document)
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


def _subscription(path: FieldPath, tenant: TenantBlock, document: Document) -> Iterator[Problem]:
    plan = document.plans.get(tenant.plan)
    if plan is None:
        yield (*path, "plan"), f'no plan "{tenant.plan}"{hint(tenant.plan, document.plans)}'
        return
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
