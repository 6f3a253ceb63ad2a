"""From a request to its route, at a cost that does not grow with the number of routes.

Order (CONTRACT, Matching): host first (exact, then the longest ``*.`` wildcard, then routes for any host), then ``=``
exact, then the path with the most literal segments, then the longest. The best path decides; a method that none of its
routes takes is no match.
"""

from collections.abc import Iterable, Sequence
from typing import Generic, TypeVar

from gateway.routing.normalise import UNUSUAL, normalise, second_reading
from gateway.routing.pattern import Pattern, parse_pattern
from gateway.routing.route import Route

T = TypeVar("T")


class Match(Generic[T]):
    """What was found: the value compiled for the route, and the prefix that ``strip_prefix`` would cut."""

    __slots__ = ("prefix", "value")

    def __init__(self, value: T, prefix: bytes) -> None:
        self.value = value
        self.prefix = prefix


class _Methods(Generic[T]):
    """The routes of one pattern, by method."""

    __slots__ = ("any", "by_method", "rank")

    def __init__(self, rank: tuple[int, int, int]) -> None:
        self.rank = rank
        self.any: Match[T] | None = None
        self.by_method: dict[bytes, Match[T]] = {}

    def add(self, methods: Iterable[str], match: Match[T]) -> None:
        named = [method.encode() for method in methods]
        for method in named:
            self.by_method.setdefault(method, match)
        if not named and self.any is None:
            self.any = match

    def get(self, method: bytes) -> Match[T] | None:
        return self.by_method.get(method, self.any)


class _Node(Generic[T]):
    __slots__ = ("children", "parameter", "prefix", "whole")

    def __init__(self) -> None:
        self.children: dict[bytes, _Node[T]] = {}
        self.parameter: _Node[T] | None = None
        self.prefix: _Methods[T] | None = None
        self.whole: _Methods[T] | None = None


class _Paths(Generic[T]):
    """All patterns of one host."""

    def __init__(self) -> None:
        self.exact: dict[bytes, _Methods[T]] = {}
        self.root: _Node[T] = _Node()
        self.has_parameters = False

    def add(self, pattern: Pattern, methods: Iterable[str], value: T) -> None:
        if pattern.kind == "exact":
            entry = self.exact.setdefault(pattern.path, _Methods(pattern.rank))
            entry.add(methods, Match(value, pattern.path))
            return
        node = self.root
        for segment in pattern.segments:
            if segment is None:
                self.has_parameters = True
                node.parameter = node.parameter or _Node()
                node = node.parameter
            else:
                node = node.children.setdefault(segment, _Node())
        if pattern.kind == "template":
            node.whole = node.whole or _Methods(pattern.rank)
            node.whole.add(methods, Match(value, b""))
        else:
            node.prefix = node.prefix or _Methods(pattern.rank)
            node.prefix.add(methods, Match(value, pattern.path if len(pattern.path) > 1 else b""))

    def find(self, path: bytes) -> _Methods[T] | None:
        found = self.exact.get(path)
        if found is not None:
            return found
        segments = path.split(b"/")
        del segments[0]
        return self._search(segments) if self.has_parameters else self._longest_prefix(segments)

    def _longest_prefix(self, segments: list[bytes]) -> _Methods[T] | None:
        node = self.root
        best = node.prefix
        for segment in segments:
            below = node.children.get(segment)
            if below is None:
                break
            node = below
            if node.prefix is not None:
                best = node.prefix
        return best

    def _search(self, segments: list[bytes]) -> _Methods[T] | None:
        """Walk literal and parameter branches together; nodes at each depth are few, for patterns share them."""
        best: _Methods[T] | None = None
        frontier = [self.root]
        for segment in [*segments, None]:
            below: list[_Node[T]] = []
            for node in frontier:
                if node.prefix and (best is None or node.prefix.rank > best.rank):
                    best = node.prefix
                if segment is None:
                    if node.whole and (best is None or node.whole.rank > best.rank):
                        best = node.whole
                    continue
                child = node.children.get(segment)
                if child is not None:
                    below.append(child)
                if segment and node.parameter is not None:
                    below.append(node.parameter)
            frontier = below
            if not frontier:
                break
        return best


class Matcher(Generic[T]):
    """Compiled from routes and the value that stands for each; immutable afterwards."""

    def __init__(self, routes: Iterable[tuple[Route, T]]) -> None:
        self._any: _Paths[T] = _Paths()
        self._hosts: dict[bytes, _Paths[T]] = {}
        self._wildcards: dict[bytes, _Paths[T]] = {}
        for route, value in routes:
            for paths in self._tables(route.hosts):
                for text in route.paths:
                    paths.add(parse_pattern(text), route.methods, value)

    def _tables(self, hosts: Sequence[str]) -> list[_Paths[T]]:
        if not hosts:
            return [self._any]
        return [
            self._wildcards.setdefault(host[1:].lower().encode(), _Paths())
            if host.startswith("*.")
            else self._hosts.setdefault(host.lower().encode(), _Paths())
            for host in hosts
        ]

    def match(self, host: bytes, method: bytes, path: bytes) -> Match[T] | None:
        """The route for a lower-case host name without port, a method, and the raw path without query."""
        if UNUSUAL(path):
            found = self._find(host, normalise(path))
            other = second_reading(path)
            if other is not None and self._find(host, other) is not found:
                return None
        else:
            found = self._find(host, path)
        return found.get(method) if found is not None else None

    def _find(self, host: bytes, path: bytes) -> _Methods[T] | None:
        if self._hosts or self._wildcards:
            for table in self._for_host(host):
                found = table.find(path)
                if found is not None:
                    return found
        return self._any.find(path)

    def _for_host(self, host: bytes) -> Iterable[_Paths[T]]:
        if host in self._hosts:
            yield self._hosts[host]
        dot = host.find(b".")
        while dot >= 0 and self._wildcards:
            if host[dot:] in self._wildcards:
                yield self._wildcards[host[dot:]]
            dot = host.find(b".", dot + 1)
