"""The request-target (RFC 9112 §3.2) and the Host field, taken apart strictly."""

import re
from typing import Final

from gateway.http.errors import MessageError

_ABSOLUTE: Final = re.compile(rb"https?://([^/?#@]+)([/?].*)?", re.IGNORECASE)
# RFC 3986 §3.2.2 without userinfo: a name, an IPv4 address or a bracketed IPv6 address, and a port.
_AUTHORITY: Final = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z\-._~!$&'()*+,;=%]+)(?::[0-9]{0,5})?")
_DEFAULT_PORT: Final = re.compile(rb":(?:80|443)?$")


def check_host(host: bytes) -> bytes:
    """A Host value in lower case; an empty one is allowed by RFC 9110 §7.2."""
    if host and not _AUTHORITY.fullmatch(host):
        raise MessageError("malformed Host")
    return host.lower()


def origin_form(target: bytes, host: bytes | None) -> bytes:
    """The target as ``/path?query`` (or ``*``). An absolute form must name the authority that Host names."""
    if target.startswith(b"/"):
        if target.find(b"#") >= 0 or (target.find(b"\\") >= 0 and b"\\" in target.partition(b"?")[0]):
            # Neither is in the grammar, and upstreams disagree about where such a path ends or splits.
            raise MessageError("malformed request-target")
        return target
    if target == b"*":
        return target
    matched = _ABSOLUTE.fullmatch(target)
    if not matched or not _AUTHORITY.fullmatch(matched[1]):
        raise MessageError("malformed request-target")
    if host is not None and _bare(matched[1]) != _bare(host):
        raise MessageError("request-target and Host name different authorities")
    rest = matched[2] or b"/"
    return origin_form(rest if rest.startswith(b"/") else b"/" + rest, host)


def _bare(authority: bytes) -> bytes:
    return _DEFAULT_PORT.sub(b"", authority.lower())


def host_name(host: bytes) -> bytes:
    """The name in a lower-case Host value: no port, no final dot, brackets kept."""
    if host.endswith(b"]"):
        return host
    name, colon, port = host.rpartition(b":")
    return (name if colon and (port.isdigit() or not port) else host).rstrip(b".")
