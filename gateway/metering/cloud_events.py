"""CloudEvents 1.0 as usage: what is well-formed, whose it is, what it counts, and by what it is known for ever."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from gateway.clock import DAY_US, MINUTE_US
from gateway.period import to_us

MAX_PAST_US = 35 * DAY_US
MAX_AHEAD_US = 5 * MINUTE_US
MAX_VALUE = 10**15
MAX_TEXT = 256
_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})", re.ASCII
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Wrong:
    """Why an event is refused: ``field`` of the event, and what is wrong with it."""

    field: str
    message: str


@dataclass(frozen=True, slots=True)
class Envelope:
    """The context attributes of a well-formed event. ``at_us`` is its time, or that of its arrival."""

    id: str
    source: str
    type: str
    subject: str
    at_us: int
    data: object


def read_envelope(event: object, now_us: int) -> Envelope | Wrong:
    """The envelope of one event (CloudEvents 1.0 §3); what is new must pass ``untimely`` too."""
    if not isinstance(event, Mapping):
        return Wrong("", "must be an object")
    if event.get("specversion") != "1.0":
        return Wrong("specversion", 'must be "1.0"')
    for name in ("id", "source", "type"):
        if (wrong := _text(event.get(name), name)) is not None:
            return wrong
    subject = event.get("subject")
    if subject is not None and (wrong := _text(subject, "subject")) is not None:
        return wrong
    if "data_base64" in event:
        return Wrong("data_base64", "send data as JSON")
    at_us = now_us if event.get("time") is None else _time_us(event["time"])
    if isinstance(at_us, Wrong):
        return at_us
    return Envelope(event["id"], event["source"], event["type"], subject or "", at_us, event.get("data"))


def untimely(at_us: int, now_us: int) -> Wrong | None:
    """Why a new event may not have this time. A repeat may: it is one for ever, however old it has become."""
    if at_us < now_us - MAX_PAST_US:
        return Wrong("time", "lies more than 35 days back")
    if at_us > now_us + MAX_AHEAD_US:
        return Wrong("time", "lies more than 5 minutes ahead")
    return None


def figure(data: object, path: str) -> int | Wrong:
    """The whole number at a dotted path of the data."""
    value = _at(data, path)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_VALUE:
        return Wrong(f"data.{path}", f"must be a whole number from 0 to {MAX_VALUE}")
    return value


def distinct_text(data: object, path: str) -> str | Wrong:
    """The text, or whole number as text, at a dotted path: what a ``unique`` meter tells apart."""
    value = _at(data, path)
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not text or len(text) > MAX_TEXT or _CONTROL.search(text):
        return Wrong(f"data.{path}", f"must be a text of 1 to {MAX_TEXT} characters")
    return text


def identity(tenant: str, source: str, id: str) -> bytes:
    """16 bytes of (tenant, source, id), kept for ever (SEMANTICS §28). Lengths are hashed too: no two run together."""
    digest = hashlib.blake2b(digest_size=16)
    for part in (tenant, source, id):
        raw = part.encode()
        digest.update(len(raw).to_bytes(4, "big") + raw)
    return digest.digest()


def _text(value: object, name: str) -> Wrong | None:
    if not isinstance(value, str) or not value.strip() or len(value) > MAX_TEXT or _CONTROL.search(value):
        return Wrong(name, f"must be a text of 1 to {MAX_TEXT} characters")
    return None


def _time_us(value: object) -> int | Wrong:
    if isinstance(value, str) and _TIME.fullmatch(value):
        try:
            return to_us(datetime.fromisoformat(value.upper()).astimezone(UTC))
        except (ValueError, OverflowError):
            pass
    return Wrong("time", 'must be an RFC 3339 time such as "2026-01-31T12:00:00Z"')


def _at(data: object, path: str) -> Any:
    for name in path.split("."):
        if not isinstance(data, Mapping) or name not in data:
            return None
        data = data[name]
    return data
