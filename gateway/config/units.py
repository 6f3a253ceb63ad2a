"""Durations and sizes as people write them: ``250ms 5s 2m 1h 14d`` and ``64KiB 10MB`` (CONTRACT, Configuration)."""

import re

from gateway.clock import DAY_US, HOUR_US, MINUTE_US, SECOND_US

_DURATION_US = {"ms": 1000, "s": SECOND_US, "m": MINUTE_US, "h": HOUR_US, "d": DAY_US}
_SIZE_BYTES = {
    "B": 1,
    "kB": 10**3,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
}
_NUMBER_AND_UNIT = re.compile(r"([0-9]{1,15})([A-Za-z]+)", re.ASCII)
LONGEST_US = 400 * 366 * DAY_US
LARGEST_BYTES = 2**60


def parse_duration(text: object) -> int:
    """Microseconds of a duration, more than zero; raises ``ValueError`` in people's words."""
    value = _scaled(text, _DURATION_US, 'a duration such as "250ms", "5s", "2m", "1h" or "14d"')
    if value == 0:
        raise ValueError("must be longer than zero")
    if value > LONGEST_US:
        raise ValueError("is longer than 400 years")
    return value


def parse_size(text: object) -> int:
    """Bytes of a size, more than zero; raises ``ValueError`` in people's words."""
    value = _scaled(text, _SIZE_BYTES, 'a size such as "64KiB" or "10MB"')
    if value == 0:
        raise ValueError("must be larger than zero")
    if value > LARGEST_BYTES:
        raise ValueError("is larger than 1 EiB")
    return value


def _scaled(text: object, units: dict[str, int], wanted: str) -> int:
    if not isinstance(text, str):
        raise ValueError(f"expected {wanted}")  # noqa: TRY004 - pydantic reports ValueError as a fault
    match = _NUMBER_AND_UNIT.fullmatch(text)
    if match is None or match[2] not in units:
        raise ValueError(f'expected {wanted}, found "{text}"')
    return int(match[1]) * units[match[2]]
