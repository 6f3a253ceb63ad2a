"""A record that is too large for its place loses the ends of its free texts, never its figures."""

import msgspec

from gateway.metering.record import CallRecord, SpoolEntry, encode

_FREE_TEXTS = ("path", "request_id", "target", "address", "method")


def encode_within(entry: SpoolEntry, limit: int) -> bytes:
    """Pack an entry in at most ``limit`` bytes, cutting the texts that callers choose. Raises ``ValueError``."""
    payload = encode(entry)
    if len(payload) <= limit:
        return payload
    if isinstance(entry, CallRecord):
        for name in _FREE_TEXTS:
            text: str = getattr(entry, name)
            excess = len(payload) - limit
            entry = msgspec.structs.replace(entry, **{name: _without(text, excess)})
            payload = encode(entry)
            if len(payload) <= limit:
                return payload
    raise ValueError(f"an entry of {len(payload)} bytes does not fit in {limit}")


def _without(text: str, excess: int) -> str:
    """The text less at least ``excess`` bytes of its UTF-8 form, cut between characters."""
    raw = text.encode()
    return raw[: max(0, len(raw) - excess)].decode(errors="ignore")
