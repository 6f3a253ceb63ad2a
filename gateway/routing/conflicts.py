"""Ties between routes: two rules of equal weight that one request could meet. ``gateway check`` reports them."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.routing.pattern import Pattern, parse_pattern
from gateway.routing.route import Route


@dataclass(frozen=True, slots=True)
class RouteConflict:
    """Two routes that tie, and a path of each that does."""

    first: str
    second: str
    first_path: str
    second_path: str

    def __str__(self) -> str:
        return f"routes {self.first} ({self.first_path}) and {self.second} ({self.second_path}) match the same requests"


@dataclass(frozen=True, slots=True)
class _Rule:
    route: Route
    text: str
    pattern: Pattern


def find_conflicts(routes: Sequence[Route]) -> list[RouteConflict]:
    """Every pair of paths of two routes that tie for some request, in the order of the routes."""
    groups: dict[tuple[object, ...], list[_Rule]] = defaultdict(list)
    for route in routes:
        for text in route.paths:
            rule = _Rule(route, text, parse_pattern(text))
            for host in route.hosts or ("",):
                groups[_group(host.lower(), rule.pattern)].append(rule)
    found: dict[RouteConflict, None] = {}
    for rules in groups.values():
        for index, first in enumerate(rules):
            for second in rules[index + 1 :]:
                if first.route is not second.route and _tie(first, second):
                    found[RouteConflict(first.route.name, second.route.name, first.text, second.text)] = None
    return list(found)


def _group(host: str, pattern: Pattern) -> tuple[object, ...]:
    """Only rules of one group can tie, so that a thousand plain routes are compared with none."""
    if pattern.kind == "template":
        return (host, pattern.kind, pattern.rank)
    return (host, pattern.kind, pattern.path)


def _tie(first: _Rule, second: _Rule) -> bool:
    methods, others = first.route.methods, second.route.methods
    # A route for some methods beside one for all of them is no tie: the named method is the closer match.
    overlap = bool(methods & others) if methods and others else not methods and not others
    return overlap and first.pattern.overlaps(second.pattern)
