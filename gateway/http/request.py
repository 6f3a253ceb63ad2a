"""A request's head: strict parsing, what its fields mean for the connection, and how its body is framed.

``RequestFields`` depends on the bytes of the field section alone. Clients repeat that section call after call, so a
connection keeps the last one and parses only what changed.
"""

import re
from typing import Final

from gateway.http.body import Framing, declared_length, is_chunked
from gateway.http.errors import MessageError
from gateway.http.fields import LOWER, TOKEN, Pairs, list_items, parse_fields
from gateway.http.target import check_host, host_name, origin_form
from gateway.http.variant import CredentialPlace, place_of

_LINE: Final = re.compile(rb"(" + TOKEN + rb") ([\x21-\x7e\x80-\xff]+) HTTP/1\.([01])").fullmatch
_MEANINGFUL: Final = frozenset(
    (
        b"host content-length transfer-encoding connection upgrade expect te x-api-key authorization x-request-id "
        b"x-forwarded-for x-forwarded-proto x-forwarded-host"
    ).split()
)
MAX_FIELDS: Final = 128
_NOTHING: Final[list[bytes]] = []


class RequestFields:
    """A field section and what is known of it whatever the request line says."""

    __slots__ = (
        "_known",
        "_pairs",
        "chunked",
        "connection",
        "credential",
        "digest",
        "expects_continue",
        "forward_hides",
        "forward_key",
        "forward_value",
        "host",
        "hostname",
        "length",
        "places",
        "section",
        "upgrade",
    )

    def __init__(self, section: bytes, known: "RequestFields | None" = None, credential: bytes | None = None) -> None:
        """``known`` are those of a section that differs in the credential alone: ``credential`` here (``follow``)."""
        self.section = section
        self.credential = credential
        """The credential, where another section told where it stands."""
        if known is not None:
            self._take_over(known)
            return
        self._pairs: Pairs = parse_fields(section)
        if len(self._pairs) > MAX_FIELDS:
            raise MessageError("too many header fields", 431, "header_too_large")
        self._known: dict[bytes, list[bytes]] = {}
        for name, value in self._pairs:
            lowered = LOWER[name]
            if lowered in _MEANINGFUL:
                self._known.setdefault(lowered, []).append(value.strip(b" \t"))
        hosts = self.all(b"host")
        if len(hosts) > 1:
            raise MessageError("more than one Host")
        self.host = check_host(hosts[0]) if hosts else None
        self.hostname = host_name(self.host) if self.host else b""
        self.length = declared_length(self.all(b"content-length"))
        self.chunked = b"transfer-encoding" in self._known and is_chunked(
            self.all(b"transfer-encoding"), self.all(b"content-length"), 1
        )
        self.connection = frozenset(list_items(self.all(b"connection")))
        self.expects_continue = [value.lower() for value in self.all(b"expect")] == [b"100-continue"]
        self.upgrade = self._upgrade()
        # The last forwarded form of this section and what it was made for (gateway.http.forwarding).
        self.digest: bytes | None = None  # of the credential in it, once it was looked for
        self.forward_key: object = None
        self.forward_value = b""
        self.forward_hides = False  # the credential does not show in it
        self.places: tuple[CredentialPlace | None, ...] = ()  # one, once it was looked for

    def follow(self, section: bytes) -> "RequestFields":
        """The fields of the connection's next request: parsed, or these with another credential."""
        if not self.places:
            self.places = (place_of(self.section, [name for name, _ in self._pairs]),)
        place = self.places[0]
        credential = place.credential_of(section) if place is not None else None
        return RequestFields(section) if credential is None else RequestFields(section, self, credential)

    def _take_over(self, known: "RequestFields") -> None:
        """What another section says too, which differs from this one in the credential alone."""
        self._pairs, self._known = known._pairs, known._known  # but for the credential's: see ``pairs`` and ``all``
        self.host, self.hostname, self.length, self.chunked = known.host, known.hostname, known.length, known.chunked
        self.connection, self.upgrade, self.expects_continue = known.connection, known.upgrade, known.expects_continue
        self.digest = None
        self.places, self.forward_hides = known.places, known.forward_hides
        self.forward_key = known.forward_key if known.forward_hides else None
        self.forward_value = known.forward_value

    @property
    def pairs(self) -> Pairs:
        """Every field in the order sent: (name, value with its blanks)."""
        if self.credential is None or (place := self.places[0]) is None:
            return self._pairs
        pairs = self._pairs.copy()
        pairs[place.index] = (pairs[place.index][0], place.raw(self.section))
        return pairs

    def all(self, name: bytes) -> list[bytes]:
        """Values of one of the fields that mean something to a gateway, blanks removed."""
        if self.credential is not None and (place := self.places[0]) is not None and name == place.name:
            return [place.raw(self.section).strip(b" \t")]
        return self._known.get(name, _NOTHING)

    def _upgrade(self) -> bytes | None:
        """The protocols asked for; HTTP/2 in clear text is none (RFC 9113 §3.1: it would hide requests from us)."""
        asked = b", ".join(self.all(b"upgrade"))
        if not asked or b"upgrade" not in self.connection or b"h2c" in list_items([asked]):
            return None
        return asked


class Request:
    """One request's head. ``target`` is as sent, in origin-form; ``path`` is the part before the first ``?``."""

    __slots__ = ("fields", "framing", "keep_alive", "method", "minor_version", "path", "target")

    def __init__(self, line: bytes, fields: RequestFields) -> None:
        matched = _LINE(line)
        if not matched:
            raise MessageError("malformed request line")
        method, target, minor = matched.groups()
        self.fields = fields
        self.method: bytes = method
        self.minor_version = 1 if minor == b"1" else 0
        if fields.host is None and self.minor_version:
            raise MessageError("no Host")  # RFC 9112 §3.2
        if fields.chunked and not self.minor_version:
            raise MessageError("Transfer-Encoding in an HTTP/1.0 message")
        if method == b"CONNECT":
            raise MessageError("CONNECT is for forward proxies")
        self.target: bytes = origin_form(target, fields.host)
        self.path: bytes = self.target.partition(b"?")[0]
        if fields.chunked:
            self.framing = Framing.CHUNKED
        else:
            self.framing = Framing.LENGTH if fields.length else Framing.NONE
        connection = fields.connection
        self.keep_alive = b"close" not in connection if self.minor_version else b"keep-alive" in connection

    def header(self, name: bytes) -> bytes | None:
        """The first value of a field, blanks removed; ``name`` in lower case."""
        for field, value in self.fields.pairs:
            if LOWER[field] == name:
                return value.strip(b" \t")
        return None
