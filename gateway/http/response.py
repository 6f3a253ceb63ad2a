"""An upstream's answer: its head, parsed as strictly as a request's, and how its body is framed (RFC 9112 §6.3)."""

import re
from typing import Final

from gateway.http.body import Framing, declared_length, is_chunked
from gateway.http.errors import MessageError
from gateway.http.fields import LOWER, Pairs, list_items, parse_fields

_LINE: Final = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: ([\t\x20-\x7e\x80-\xff]*))?").fullmatch
_MEANINGFUL: Final = frozenset(
    b"content-length transfer-encoding connection upgrade content-encoding content-type".split()
)
_NOTHING: Final[list[bytes]] = []


class ResponseFields:
    """A field section and what is known of it whatever the status line says; kept while an upstream repeats it."""

    __slots__ = ("connection", "forward_key", "forward_value", "known", "length", "pairs", "section")

    def __init__(self, section: bytes) -> None:
        self.section = section
        self.pairs: Pairs = parse_fields(section)
        self.known: dict[bytes, list[bytes]] = {}
        for name, value in self.pairs:
            lowered = LOWER[name]
            if lowered in _MEANINGFUL:
                self.known.setdefault(lowered, []).append(value.strip(b" \t"))
        self.length = declared_length(self.all(b"content-length"))
        self.connection = frozenset(list_items(self.all(b"connection")))
        self.forward_key: object = None
        self.forward_value = b""

    def all(self, name: bytes) -> list[bytes]:
        """Values of one of the fields that mean something to a gateway, blanks removed."""
        return self.known.get(name, _NOTHING)


class Response:
    """One answer's head. ``reason`` is as sent."""

    __slots__ = ("fields", "framing", "keep_alive", "minor_version", "reason", "status")

    def __init__(self, line: bytes, fields: ResponseFields, request_method: bytes) -> None:
        matched = _LINE(line)
        if not matched:
            raise MessageError("malformed status line")
        minor, status, reason = matched.groups()
        self.fields = fields
        self.minor_version = 1 if minor == b"1" else 0
        self.status = int(status)
        self.reason: bytes = reason or b""
        self.framing = self._framing(request_method)
        connection = fields.connection
        self.keep_alive = self.framing is not Framing.CLOSE and (
            b"close" not in connection if self.minor_version else b"keep-alive" in connection
        )

    def _framing(self, request_method: bytes) -> Framing:
        fields = self.fields
        codings = fields.known.get(b"transfer-encoding")
        chunked = codings is not None and is_chunked(codings, fields.all(b"content-length"), self.minor_version)
        if request_method == b"HEAD" or self.status in (204, 304) or self.status < 200:
            return Framing.NONE
        if chunked:
            return Framing.CHUNKED
        if fields.length is None:
            return Framing.CLOSE
        return Framing.LENGTH if fields.length else Framing.NONE

    def header(self, name: bytes) -> bytes | None:
        """The first value of a field, blanks removed; ``name`` in lower case."""
        for field, value in self.fields.pairs:
            if LOWER[field] == name:
                return value.strip(b" \t")
        return None
