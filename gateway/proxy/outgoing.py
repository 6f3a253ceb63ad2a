"""The head that goes to the upstream: the client's own lines, then what the gateway says about the caller."""

from typing import Final

from gateway.hooks.events import HeaderChanges, RequestHook
from gateway.http.fields import LOWER, parse_fields
from gateway.http.forwarding import request_section, without_query_key
from gateway.http.request import Request
from gateway.metering.extract import DECODED
from gateway.proxy.plan import Bound, RoutePlan
from gateway.proxy.pool import Pool
from gateway.proxy.stages import credential

_ACCEPT_ENCODING: Final = b"accept-encoding"


def request_head(
    request: Request, plan: RoutePlan, prefix: bytes, pool: Pool, bound: Bound | None, peer: str, request_id: bytes,
    trusted: bool,
) -> bytes:  # fmt: skip
    """The whole head, ready to be written."""
    fields = request.fields
    named_by_target = plan.route.host == "upstream" or fields.host is None
    key = (plan, pool if named_by_target else None, bound is None, request.minor_version)
    if fields.forward_key == key:
        section = fields.forward_value
    else:
        section = _section(request, plan, pool, bound, peer, trusted)
        fields.forward_key, fields.forward_value = key, section
        fields.forward_hides = bound is not None and not plan.query_key
    if plan.request_hooks:
        section = _hooked(section, request, plan, bound)
    return b"%b %b HTTP/1.1\r\n%b%bX-Request-Id: %b\r\n%b\r\n" % (
        request.method,
        _target(request, plan, prefix)
        if plan.rewrite is not None or plan.query_key or request.target.find(b"gk_") >= 0
        else request.target,
        section,
        b"Transfer-Encoding: chunked\r\n" if fields.chunked else b"",
        request_id,
        bound.identity if bound is not None else b"",
    )


def _section(request: Request, plan: RoutePlan, pool: Pool, bound: Bound | None, peer: str, trusted: bool) -> bytes:
    fields = request.fields
    drop = set(plan.drop_request)
    secret = b""
    if bound is not None:
        used = credential(request, plan.route.query_key)
        if used is not None and used[1]:
            secret = used[0]
            drop.add(used[1])
    lines: list[bytes] = []
    if plan.body_meters and fields.section.lower().count(_ACCEPT_ENCODING):
        drop.add(_ACCEPT_ENCODING)
        lines.append(b"Accept-Encoding: %b\r\n" % _narrowed(request))
    if plan.route.host == "upstream" or fields.host is None:
        drop.add(b"host")
        lines.insert(0, b"Host: %b\r\n" % pool.authority)
    lines.append(request_section(fields, drop, secret))
    lines.append(plan.add_request)
    lines.append(_forwarded(request, peer, trusted, plan.proto))
    if fields.upgrade is not None and request.minor_version:
        lines.append(b"Connection: Upgrade\r\nUpgrade: %b\r\n" % fields.upgrade)
    return b"".join(lines)


def _narrowed(request: Request) -> bytes:
    """Accept-Encoding without codings that the meters cannot read (SEMANTICS §11)."""
    kept = []
    for name, value in request.fields.pairs:
        if LOWER[name] == _ACCEPT_ENCODING:
            parts = (part.strip(b" \t") for part in value.split(b","))
            kept += [part for part in parts if part.partition(b";")[0].rstrip(b" \t").lower() in DECODED]
    return b", ".join(kept) or b"identity"


def _forwarded(request: Request, peer: str, trusted: bool, own_proto: bytes) -> bytes:
    """X-Forwarded-*: replaced, or appended to and kept when the peer is a trusted proxy (CONTRACT)."""
    fields = request.fields
    chain = [*fields.all(b"x-forwarded-for"), peer.encode()] if trusted else [peer.encode()]
    proto = fields.all(b"x-forwarded-proto") if trusted else []
    host = fields.all(b"x-forwarded-host") if trusted else []
    lines = [
        b"X-Forwarded-For: %b\r\n" % b", ".join(chain),
        b"X-Forwarded-Proto: %b\r\n" % (proto[0] if proto else own_proto),
    ]
    name = host[0] if host else fields.host
    if name:
        lines.append(b"X-Forwarded-Host: %b\r\n" % name)
    return b"".join(lines)


def _target(request: Request, plan: RoutePlan, prefix: bytes) -> bytes:
    target = request.target
    if plan.query_key or b"gk_" in target:
        target = without_query_key(target, plan.query_key)
    if plan.rewrite is not None and (prefix or plan.rewrite):
        target = rewritten(target, prefix, plan.rewrite)
    return target


def rewritten(target: bytes, prefix: bytes, new: bytes) -> bytes:
    """The target with ``new`` in the place of its route's prefix; what lies behind it stays as it was sent.

    One that spells the prefix in another way, or leaves it by dot segments and comes back, is forwarded normalised.
    """
    from gateway.routing.normalise import normalise

    path, mark, query = target.partition(b"?")
    rest, normal = path[len(prefix) :], normalise(path)
    if not path.startswith(prefix) or normal != prefix + (normalise(rest) if rest else b""):
        rest = normal[len(prefix) :]
    if rest and not rest.startswith(b"/"):
        rest = b"/" + rest
    return (new + rest or b"/") + mark + query


def _hooked(section: bytes, request: Request, plan: RoutePlan, bound: Bound | None) -> bytes:
    event = RequestHook(request, plan.route, bound.principal if bound is not None else None)
    for hook in plan.request_hooks:
        changes = hook(event)
        if changes is not None:
            section = changed(section, changes)
    return section


_BREAKING: Final[tuple[bytes, ...]] = (b"\r", b"\n", b"\0")
_FRAMING: Final = frozenset((b"content-length", b"transfer-encoding", b"connection", b"host"))


def changed(section: bytes, changes: HeaderChanges) -> bytes:
    """A field section with a hook's changes. Framing stays ours, and nobody breaks out of a line."""
    gone = {name.lower() for name in changes.remove} - _FRAMING
    lines = [b"%b:%b\r\n" % pair for pair in parse_fields(section) if LOWER[pair[0]] not in gone]
    for name, value in changes.add:
        if name.lower() in _FRAMING or any(character in name + value for character in _BREAKING):
            raise ValueError(f"a hook may not add the field {name!r}")
        lines.append(b"%b: %b\r\n" % (name, value))
    return b"".join(lines)
