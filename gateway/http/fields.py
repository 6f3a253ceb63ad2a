"""Header fields: the strict grammar of a field section (RFC 9112 §5) and look-ups by name.

A section is kept as ``(name, value)`` pairs of raw bytes, value with its surrounding blanks, so that what is passed
on is byte for byte what came.
"""

import re
from typing import TypeVar

from gateway.http.errors import MessageError

Pairs = list[tuple[bytes, bytes]]

TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
"""RFC 9110 §5.6.2."""

# A line starts after a LF, holds one field and ends with CRLF. Values exclude CR, LF, NUL and the other controls, names
# are tokens: no blank before the colon, no folded line (RFC 9112 §5.1, §5.2).
_FIELD = re.compile(rb"(?m)^(" + TOKEN + rb"):([\t\x20-\x7e\x80-\xff]*)\r\n")

_Value = TypeVar("_Value")


class BoundedMemo(dict[bytes, _Value]):
    """A memo of a pure function of short byte strings, emptied when it holds too many: hostile names cost nothing."""

    LIMIT = 2048

    def remember(self, key: bytes, value: _Value) -> _Value:
        if len(self) >= self.LIMIT:
            self.clear()
        self[key] = value
        return value


class _Lowered(BoundedMemo[bytes]):
    def __missing__(self, name: bytes) -> bytes:
        return self.remember(name, name.lower())


LOWER = _Lowered()
"""``LOWER[name]``: a field name in lower case."""


def parse_fields(section: bytes) -> Pairs:
    """The fields of a section, each line with its CRLF, without the empty line at its end."""
    pairs = _FIELD.findall(section)
    # Each match is one whole line with one LF; as many matches as LFs: there is nothing else in the section.
    if len(pairs) != section.count(b"\n"):
        raise MessageError("malformed header field")
    return pairs


def values(pairs: Pairs, name: bytes) -> list[bytes]:
    """All values of a field, blanks removed; ``name`` in lower case."""
    return [value.strip(b" \t") for field, value in pairs if LOWER[field] == name]


def first(pairs: Pairs, name: bytes) -> bytes | None:
    """The first value of a field, blanks removed; ``name`` in lower case."""
    for field, value in pairs:
        if LOWER[field] == name:
            return value.strip(b" \t")
    return None


def list_items(raw: list[bytes]) -> list[bytes]:
    """The members of a list field over all its lines, in lower case, empty ones left out (RFC 9110 §5.6.1)."""
    return [item for value in raw for part in value.split(b",") if (item := part.strip(b" \t").lower())]
