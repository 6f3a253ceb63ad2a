"""Invoice numbers: one series per prefix, without gaps, given in the transaction that finalizes (SEMANTICS §36)."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

DIGITS = 6


def format_number(prefix: str, sequence: int) -> str:
    """``INV-000042``; wider when it must be."""
    if sequence < 1:
        raise ValueError("a series starts at 1")
    return f"{prefix}-{sequence:0{DIGITS}d}"


def parse_number(number: str) -> tuple[str, int]:
    """The prefix and the sequence of a number; raises ``ValueError``."""
    found = re.fullmatch(r"(.+)-([0-9]{6,18})", number, re.ASCII)
    if not found or format_number(found[1], int(found[2])) != number:
        raise ValueError(f"{number!r} is no invoice number")
    return found[1], int(found[2])


@dataclass(frozen=True, slots=True)
class SeriesFaults:
    """What is wrong with a series: sequences that are missing, and those given twice."""

    missing: tuple[int, ...]
    repeated: tuple[int, ...]

    def __bool__(self) -> bool:
        return bool(self.missing or self.repeated)


def check_series(sequences: Iterable[int]) -> SeriesFaults:
    """Whether the sequences are exactly 1…n."""
    seen: set[int] = set()
    repeated: set[int] = set()
    for sequence in sequences:
        (repeated if sequence in seen else seen).add(sequence)
    missing = set(range(1, max(seen, default=0) + 1)) - seen
    return SeriesFaults(tuple(sorted(missing)), tuple(sorted(repeated)))
