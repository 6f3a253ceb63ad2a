"""Durations, sizes and plain scalars."""

import pytest

from gateway.config.units import parse_duration, parse_size
from gateway.config.yaml_tree import plain_scalar

DURATIONS = {"250ms": 250_000, "5s": 5_000_000, "2m": 120_000_000, "1h": 3_600_000_000, "14d": 1_209_600_000_000}
SIZES = {"1B": 1, "64KiB": 65536, "10MB": 10_000_000, "2GiB": 2 << 30}
SCALARS = {
    "5": 5, "-5": -5, "1_000": 1000, "0": 0, "007": "007", "1.5": 1.5, "1e3": 1000.0, "true": True, "yes": "yes",
    "off": "off", "no": "no", "null": None, "~": None, "": None, "2024-01-31": "2024-01-31", "1:30": "1:30",
    "0x10": "0x10", "1_": "1_", "12e": "12e", ".": ".",
}  # fmt: skip


@pytest.mark.parametrize("text", DURATIONS)
def test_durations(text: str) -> None:
    assert parse_duration(text) == DURATIONS[text]


@pytest.mark.parametrize("text", SIZES)
def test_sizes(text: str) -> None:
    assert parse_size(text) == SIZES[text]


@pytest.mark.parametrize("value", ["", "5", "s", "-5s", "1.5s", "5 s", "5S", "0s", "٥s", "9" * 15 + "d", 5, None, True])
def test_what_is_no_duration(value: object) -> None:
    with pytest.raises(ValueError, match=r"expected|longer"):
        parse_duration(value)


@pytest.mark.parametrize("value", ["", "5", "5 MB", "0B", "1.5MB", "5mb", "9" * 15 + "TiB", 5, None])
def test_what_is_no_size(value: object) -> None:
    with pytest.raises(ValueError, match=r"expected|larger"):
        parse_size(value)


@pytest.mark.parametrize("text", SCALARS)
def test_scalars_follow_yaml_1_2(text: str) -> None:
    value = plain_scalar(text)
    assert (value, type(value)) == (SCALARS[text], type(SCALARS[text]))
