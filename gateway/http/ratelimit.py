"""Rate-limit fields: draft-ietf-httpapi-ratelimit-headers-11 and the older ``x-ratelimit-*``; plain values only."""

from collections.abc import Sequence
from typing import Final, Literal

Style = Literal["ietf", "x-ratelimit", "both", "off"]

QUOTA_EXCEEDED = "https://iana.org/assignments/http-problem-types#quota-exceeded"
MAX_INTEGER: Final = 999_999_999_999_999  # RFC 9651 §3.3.1: an Integer has at most 15 digits


def string(text: str) -> str:
    """An sf-string (RFC 9651 §3.3.3): quoted, with ``"`` and ``\\`` escaped; what ASCII cannot show becomes ``?``."""
    safe = "".join(char if " " <= char <= "~" else "?" for char in text)
    return '"' + safe.replace("\\", "\\\\").replace('"', '\\"') + '"'


def policy_item(name: str, quota: int, window_s: int | None, unit: str = "") -> str:
    """One policy: ``"burst";q=600;w=60``. Without a window ``w`` is left out; ``unit`` is stated if not requests."""
    item = f"{string(name)};q={min(quota, MAX_INTEGER)}"
    if window_s is not None:
        item += f";w={window_s}"
    return item + f";qu={string(unit)}" if unit else item


def whole_seconds(microseconds: int) -> int:
    """Rounded up, never negative."""
    return -(-microseconds // 1_000_000) if microseconds > 0 else 0


def ietf_fields(policies: Sequence[str], items: Sequence[str]) -> list[tuple[bytes, bytes]]:
    """``RateLimit-Policy`` and ``RateLimit``, one field each."""
    return [
        (b"RateLimit-Policy", ", ".join(policies).encode("ascii")),
        (b"RateLimit", ", ".join(items).encode("ascii")),
    ]


def x_fields(limit: int, remaining: int, reset_s: int) -> list[tuple[bytes, bytes]]:
    """The three older fields, which can show one limit only: the tightest. ``reset_s`` are seconds from now."""
    return [
        (b"X-RateLimit-Limit", b"%d" % limit),
        (b"X-RateLimit-Remaining", b"%d" % remaining),
        (b"X-RateLimit-Reset", b"%d" % reset_s),
    ]
