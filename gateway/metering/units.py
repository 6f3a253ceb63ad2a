"""One figure that an upstream reports: whole, not negative, bounded; anything else is missing (SEMANTICS §10)."""

import math

LARGEST = (1 << 63) - 1


def whole_units(value: object) -> int | None:
    """A JSON number as units; a float only when it is whole. Text, booleans and negatives are no figures."""
    if isinstance(value, bool):
        return None
    if isinstance(value, float):
        if not math.isfinite(value) or not value.is_integer():
            return None
        value = int(value)
    return value if isinstance(value, int) and 0 <= value <= LARGEST else None


def header_units(value: bytes | None) -> int | None:
    """A header's value as units: decimal digits, nothing else."""
    if value is None or not value.isdigit() or len(value) > 19:
        return None
    return whole_units(int(value))
