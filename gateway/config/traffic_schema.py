"""What upstreams, routes and the listener say about traffic: targets' health, TLS, header fields, browsers of other
origins, addresses, and what a client may ask of a connection.
"""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from gateway.config.fields import DurationUs, HeaderName, Method, Network, OneOrMore, SizeBytes, Strict
from gateway.http.forwarding import GATEWAY_SET, HOP_BY_HOP

_UNTOUCHABLE = HOP_BY_HOP | GATEWAY_SET | frozenset((b"host", b"content-length", b"expect", b"x-api-key"))
_ORIGIN = re.compile(
    r"\*|(https?|[a-z][a-z0-9+.-]*)://(\*\.)?[a-z0-9._-]+(:[0-9]{1,5})?|https?://\[[0-9a-f:.]+\](:[0-9]{1,5})?"
)


def _check_path(value: object) -> object:
    if isinstance(value, str) and not re.fullmatch(r"/[\x21-\x7e]*", value):
        raise ValueError('expected a path such as "/healthz"')
    return value


def _prefix(value: object) -> object:
    if isinstance(value, str) and not re.fullmatch(r"(/[A-Za-z0-9._~!$&'()*+,;=:@%-]+)*/?", value):
        raise ValueError('expected a path such as "/v2", without a query')
    return value.rstrip("/") if isinstance(value, str) else value


def _own_name(value: str) -> str:
    name = value.lower().encode()
    if name in _UNTOUCHABLE:
        raise ValueError(f"{value} is the gateway's own affair")
    return value


def _field_value(value: object) -> object:
    if isinstance(value, str) and not re.fullmatch(r"[\t\x20-\x7e\xa0-\xff]*", value):
        raise ValueError("has characters that a header field cannot have")
    return value


def _origin(value: object) -> object:
    if isinstance(value, str) and not _ORIGIN.fullmatch(value):
        raise ValueError('expected "*", or an origin such as "https://app.example.com" or "https://*.example.com"')
    return value


def _file(value: object) -> object:
    if isinstance(value, str) and not value:
        raise ValueError("must not be empty")
    return value


FilePath = Annotated[str, BeforeValidator(_file)]
PathPrefix = Annotated[str, BeforeValidator(_prefix)]
OwnField = Annotated[HeaderName, AfterValidator(_own_name)]
FieldValue = Annotated[str, BeforeValidator(_field_value), Field(max_length=4096)]
Origin = Annotated[str, BeforeValidator(_origin)]


class EjectBlock(Strict):
    """When a target that fails gets no more calls; ``pause`` doubles while it goes on failing."""

    failures: Annotated[int, Field(ge=1, le=1000)] = 5
    pause: DurationUs = 10_000_000


class HealthBlock(Strict):
    """An active check of each target, by each worker."""

    path: Annotated[str, BeforeValidator(_check_path)]
    interval: DurationUs = 5_000_000
    timeout: DurationUs = 2_000_000
    failures: Annotated[int, Field(ge=1, le=1000)] = 2


class UpstreamTlsBlock(Strict):
    """How https targets are verified."""

    ca: FilePath | None = None
    server_name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:-]+$", max_length=253)] | None = None


class HeadersBlock(Strict):
    """Changes to a message's fields: names to take out, names to give one value."""

    remove: list[OwnField] = []
    set: dict[OwnField, FieldValue] = {}


class CorsBlock(Strict):
    """Browsers' calls from other origins (the Fetch standard's CORS protocol)."""

    origins: OneOrMore[Origin]
    methods: list[Method] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
    headers: list[HeaderName] | None = None
    expose: list[HeaderName] = []
    credentials: bool = False
    max_age: DurationUs = 600_000_000


class AddressesBlock(Strict):
    """Whose calls a route takes, by address behind trusted proxies; ``deny`` goes before ``allow``."""

    allow: list[Network] = []
    deny: list[Network] = []


class ListenerTlsBlock(Strict):
    """The data plane's certificate chain and its key, as PEM files; they are read again when they change."""

    cert: FilePath
    key: FilePath


class ClientsBlock(Strict):
    """What a client may ask of a connection, and how long it may take."""

    max_head: SizeBytes = 32 * 1024
    max_target: SizeBytes = 8 * 1024
    max_body: SizeBytes | None = None
    head_timeout: DurationUs = 10_000_000
    body_timeout: DurationUs = 30_000_000
    write_timeout: DurationUs = 60_000_000
    idle_timeout: DurationUs = 75_000_000
    max_per_address: Annotated[int, Field(ge=1)] | None = None
    max_idle: Annotated[int, Field(ge=1)] | None = None


Balance = Literal["round_robin", "least_connections"]
