"""What of a message is passed on: hop-by-hop fields end here, the gateway's own names are ours alone, the rest is raw.

RFC 9110 §7.6.1 for connection fields; CONTRACT (data plane) for the names that the gateway sets, credentials and the
session cookie. Order, case, duplicates and bytes of what passes are untouched.
"""

import re
from collections.abc import Container

from gateway.http.fields import LOWER, BoundedMemo, Pairs
from gateway.http.request import RequestFields
from gateway.http.response import ResponseFields

HOP_BY_HOP = frozenset(
    (
        b"connection proxy-connection keep-alive te transfer-encoding upgrade proxy-authenticate "
        b"proxy-authorization proxy-authentication-info"
    ).split()
)
GATEWAY_SET = frozenset(b"x-forwarded-for x-forwarded-proto x-forwarded-host x-request-id x-tenant-id x-plan".split())
# Fields that a trailer section may not bring in (RFC 9110 §6.5.1: framing, routing, authentication, content coding).
_NOT_IN_TRAILERS = (
    HOP_BY_HOP
    | GATEWAY_SET
    | frozenset(
        b"host content-length content-encoding content-type content-range trailer authorization x-api-key cookie "
        b"set-cookie expect cache-control max-forwards".split()
    )
)
SESSION_COOKIE = b"gw_session"
_WHOLE_KEY = rb"gk_(?:live|test)_[0-9A-Za-z]{1,40}_[0-9A-Za-z]{20,}"
_KEY_VALUE = re.compile(rb"[ \t]*(?:[A-Za-z]+[ \t]+)?gk_|.*" + _WHOLE_KEY, re.DOTALL).match
_KEY_TEXT = re.compile(_WHOLE_KEY)
_NEVER_NAMED = frozenset([b"host", b"content-length", b"close", b"keep-alive"])
"""What ``Connection`` may not have removed: it would change what the message means."""


class _Canonical(BoundedMemo[bytes]):
    def __missing__(self, name: bytes) -> bytes:
        return self.remember(name, name.lower().replace(b"_", b"-"))


CANONICAL = _Canonical()
"""``CANONICAL[name]``: a name as CGI-like upstreams would confuse it: lower case, ``_`` read as ``-``."""


def is_secret(value: bytes) -> bool:
    """Whether a field value is one of our keys, bare or behind an authentication scheme, or holds a whole one."""
    return _KEY_VALUE(value) is not None


def carries(value: bytes, credential: bytes) -> bool:
    """Whether a field value is this credential, bare or behind an authentication scheme."""
    return credential in value and value.split()[-1:] == [credential] and len(value.split()) <= 2


def request_section(fields: RequestFields, drop: Container[bytes], credential: bytes = b"") -> bytes:
    """The request fields to pass on. ``drop`` holds further canonical names (the credential's field, usage headers).

    ``credential`` authenticated the call: no other field may carry it along (CONTRACT: never forwarded).
    """
    named = fields.connection - _NEVER_NAMED
    secrets = b"gk_" in fields.section
    out = []
    for name, value in fields.pairs:
        canonical = CANONICAL[name]
        lowered = LOWER[name]
        if lowered in HOP_BY_HOP or canonical in GATEWAY_SET or canonical in drop or lowered in named:
            continue
        if lowered == b"cookie" and (SESSION_COOKIE in value or secrets):
            value = without_own_cookies(value)
            if not value:
                continue
        if (secrets and is_secret(value)) or (credential and carries(value, credential)):
            continue
        out.append(b"%b:%b\r\n" % (name, value))
    if b"trailers" in fields.all(b"te"):
        out.append(b"TE: trailers\r\nConnection: TE\r\n")
    return b"".join(out)


def response_section(fields: ResponseFields, drop: Container[bytes], *, keep_length: bool) -> bytes:
    """The answer's fields to pass on. ``drop`` holds further lower-case names (usage headers, our own fields)."""
    named = fields.connection - _NEVER_NAMED
    out = []
    for name, value in fields.pairs:
        lowered = LOWER[name]
        if lowered in HOP_BY_HOP or lowered in drop or lowered in named or lowered == b"x-request-id":
            continue
        if lowered == b"content-length" and not keep_length:
            continue
        if lowered == b"set-cookie" and value.lstrip(b" \t").partition(b"=")[0].rstrip(b" \t") == SESSION_COOKIE:
            continue
        out.append(b"%b:%b\r\n" % (name, value))
    return b"".join(out)


def trailer_section(trailers: Pairs) -> bytes:
    """The trailers to pass on: never one that could change framing, routing or identity."""
    return b"".join(
        b"%b:%b\r\n" % (name, value)
        for name, value in trailers
        if CANONICAL[name] not in _NOT_IN_TRAILERS and not is_secret(value)
    )


def mask_keys(text: bytes) -> bytes:
    """A path as it may be written down: a key that somebody put into it is not."""
    return _KEY_TEXT.sub(b"gk_***", text) if text.find(b"gk_") >= 0 else text


def without_own_cookies(value: bytes) -> bytes:
    """A Cookie value without the gateway's own session and without keys; the others as they were sent."""
    kept = [
        pair
        for pair in value.split(b";")
        if pair.partition(b"=")[0].strip(b" \t") != SESSION_COOKIE and not is_secret(pair.partition(b"=")[2])
    ]
    return b";".join(kept) if any(pair.strip(b" \t") for pair in kept) else b""


def without_query_key(target: bytes, name: bytes) -> bytes:
    """A target without the parameter that carried the credential, and without any whose value starts ``gk_``.

    The rest of the query is as sent. With an empty ``name`` only the latter are cut (CONTRACT: never forwarded).
    """
    path, mark, query = target.partition(b"?")
    parts = query.split(b"&")
    kept = [part for part in parts if not _carries_key(part, name)]
    if len(kept) == len(parts):
        return target
    return path + mark + b"&".join(kept) if any(kept) else path


def _carries_key(part: bytes, name: bytes) -> bool:
    key, _, value = part.partition(b"=")
    return value.startswith(b"gk_") or (bool(name) and key == name)


def query_value(target: bytes, name: bytes) -> bytes | None:
    """The first value of a query parameter, as sent."""
    for part in target.partition(b"?")[2].split(b"&"):
        key, _, value = part.partition(b"=")
        if key == name:
            return value
    return None
