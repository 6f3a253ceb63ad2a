"""A route's own changes to heads, compiled: what ``request_headers``, ``response_headers`` and prefixes ask for."""

from gateway.http.forwarding import CANONICAL
from gateway.routing.route import HeaderRules, Route


def taken_out(rules: HeaderRules) -> frozenset[bytes]:
    """Names that do not pass: those taken out, and those that get a value of ours."""
    names = {name.encode() for name in rules.remove} | {name.lower().encode() for name, _ in rules.set}
    return frozenset(CANONICAL[name] for name in names) | frozenset(names)


def put_in(rules: HeaderRules) -> bytes:
    """The lines of the fields that get a value."""
    return b"".join(b"%b: %b\r\n" % (name.encode(), value.encode("latin-1")) for name, value in rules.set)


def rewrite_of(route: Route) -> bytes | None:
    """What takes the place of the matched prefix; None when it stays."""
    if route.rewrite_prefix is not None:
        return route.rewrite_prefix.encode()
    return b"" if route.strip_prefix else None
