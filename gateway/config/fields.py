"""The types of configuration fields: each says in people's words what it wants."""

import ipaddress
import re
from datetime import date
from typing import Annotated, TypeVar
from urllib.parse import urlsplit
from zoneinfo import available_timezones

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from gateway.clock import DAY_US
from gateway.config.nearest import hint
from gateway.config.units import parse_duration, parse_size
from gateway.routing.pattern import parse_pattern

T = TypeVar("T")
_HOST = re.compile(r"(\*\.)?[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?|\[[0-9a-f:.]+\]", re.ASCII)
MAX_COUNT = 10**15
"""Largest maximum or unit count: keeps every sum of counters within 64 bits."""

SHORTEST_KEEP_US = 40 * DAY_US


class Strict(BaseModel):
    """Base of all blocks: unknown fields are faults, and nothing is converted silently."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def _slug(value: object) -> object:
    if isinstance(value, str) and not re.fullmatch(r"[a-z0-9][a-z0-9_.-]{0,62}", value):
        raise ValueError("must be 1 to 63 of a-z, 0-9, _ . and -, starting with a letter or digit")
    return value


def _token(value: object) -> object:
    # These names appear in RateLimit fields as RFC 8941 strings, in labels and in URLs.
    if isinstance(value, str) and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", value):
        raise ValueError("must be 1 to 64 letters, digits, _ . and -, starting with a letter or digit")
    return value


def _address(value: object) -> object:
    if isinstance(value, str):
        split_address(value)
    return value


def split_address(text: str) -> tuple[str, int]:
    """Host and port of ``127.0.0.1:8080`` or ``[::1]:8080``; raises ``ValueError``."""
    host, separator, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    bare = host[1:-1] if bracketed else host
    if not separator or not port.isascii() or not port.isdigit() or int(port) > 65535 or not bare:
        raise ValueError(f'expected an address such as "127.0.0.1:8080", found "{text}"')
    if (":" in bare) != bracketed:
        raise ValueError('write an IPv6 address in brackets, such as "[::1]:8080"')
    return bare, int(port)


def _network(value: object) -> object:
    if isinstance(value, str):
        try:
            ipaddress.ip_network(value)
        except ValueError:
            try:
                meant = ipaddress.ip_network(value, strict=False)
            except ValueError:
                raise ValueError(f'expected a network such as "10.0.0.0/8", found "{value}"') from None
            raise ValueError(f'"{value}" has bits set beyond its prefix; did you mean "{meant}"?') from None
    return value


def _http_url(value: object) -> object:
    if isinstance(value, str):
        split_http_url(value)
    return value


def split_http_url(text: str) -> tuple[str, str, int]:
    """Scheme, host and port of ``http://127.0.0.1:9001``; raises ``ValueError``. The value is never repeated."""
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError('expected a URL such as "http://127.0.0.1:9001"')
    if parts.username is not None or parts.password is not None:
        raise ValueError("must not hold a user or password")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError("must be scheme, host and port only, without a path")
    if not re.fullmatch(r"[A-Za-z0-9_.:-]+", parts.hostname, re.ASCII):
        raise ValueError("the host has characters that a host cannot have")
    try:
        port = parts.port
    except ValueError:
        raise ValueError("the port must be 1 to 65535") from None
    if port == 0:
        raise ValueError("the port must be 1 to 65535")
    return parts.scheme, parts.hostname, port or (443 if parts.scheme == "https" else 80)


def _path_rule(value: object) -> object:
    if isinstance(value, str):
        if re.search(r"[\x00-\x20\x7f]", value):
            raise ValueError("must not hold a space or control character")
        parse_pattern(value)
    return value


def _method(value: object) -> object:
    if isinstance(value, str):
        if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}", value, re.ASCII):
            raise ValueError("not an HTTP method")
        if value.upper() != value and value.upper() in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
            raise ValueError(f'methods are upper case: did you mean "{value.upper()}"?')
    return value


def _host_rule(value: object) -> object:
    if isinstance(value, str) and not _HOST.fullmatch(value):
        raise ValueError('expected a host in lower case and without a port: "api.example.com" or "*.example.com"')
    return value


def _status_pattern(value: object) -> object:
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if isinstance(text, str) and not re.fullmatch(r"[1-5]([0-9]{2}|xx)", text, re.ASCII):
        raise ValueError('expected a status such as "404" or "2xx"')
    return text


def _zone(value: object) -> object:
    if isinstance(value, str) and value not in (zones := available_timezones()):
        raise ValueError(f'unknown time zone "{value}"{hint(value, zones)}')
    return value


def _iso_date(value: object) -> object:
    if isinstance(value, str):
        try:
            if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value, re.ASCII):
                raise ValueError
            date.fromisoformat(value)
        except ValueError:
            raise ValueError('expected a date such as "2025-01-31"') from None
    return value


def _key_hash(value: object) -> object:
    if isinstance(value, str) and not re.fullmatch(r"sha256:[0-9a-f]{64}", value, re.ASCII):
        raise ValueError('expected "sha256:" and 64 lower-case hex digits, as gateway keys create --yaml prints')
    return value


def _header_name(value: object) -> object:
    if isinstance(value, str) and not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}", value, re.ASCII):
        raise ValueError("not a header name")
    return value


def parse_keep(text: object) -> int | None:
    """How long calls are kept; None: for ever. Events come up to 35 days late, and counters look back as far."""
    if text == "forever" or text is None:
        return None
    kept_us = parse_duration(text)
    if kept_us < SHORTEST_KEEP_US:
        raise ValueError(f'must be "forever" or 40d at least, found "{text}"')
    return kept_us


def _json_path(value: object) -> object:
    if isinstance(value, str) and not re.fullmatch(r"[^.\x00-\x1f]+(\.[^.\x00-\x1f]+)*", value):
        raise ValueError('expected a path of names, such as "usage.total_tokens"')
    return value


def _nothing_is_empty(value: object) -> object:
    return {} if value is None else value


def _one_is_a_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


Slug = Annotated[str, BeforeValidator(_slug)]
Token = Annotated[str, BeforeValidator(_token)]
Address = Annotated[str, BeforeValidator(_address)]
Network = Annotated[str, BeforeValidator(_network)]
HttpUrl = Annotated[str, BeforeValidator(_http_url)]
PathRule = Annotated[str, BeforeValidator(_path_rule)]
HostRule = Annotated[str, BeforeValidator(_host_rule)]
Method = Annotated[str, BeforeValidator(_method)]
StatusPattern = Annotated[str, BeforeValidator(_status_pattern)]
Zone = Annotated[str, BeforeValidator(_zone)]
IsoDate = Annotated[str, BeforeValidator(_iso_date)]
KeyHash = Annotated[str, BeforeValidator(_key_hash)]
HeaderName = Annotated[str, BeforeValidator(_header_name)]
JsonPath = Annotated[str, BeforeValidator(_json_path)]
DurationUs = Annotated[int, BeforeValidator(parse_duration)]
KeepUs = Annotated[int | None, BeforeValidator(parse_keep)]
SizeBytes = Annotated[int, BeforeValidator(parse_size)]
Count = Annotated[int, Field(ge=0, le=MAX_COUNT)]
Positive = Annotated[int, Field(ge=1, le=MAX_COUNT)]
Text = Annotated[str, Field(min_length=1, max_length=256)]
Names = Annotated[dict[Token, T], BeforeValidator(_nothing_is_empty)]
Slugs = Annotated[dict[Slug, T], BeforeValidator(_nothing_is_empty)]
OneOrMore = Annotated[list[T], BeforeValidator(_one_is_a_list), Field(min_length=1)]
