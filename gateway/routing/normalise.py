"""Paths as rules see them: a normalised copy, so that no spelling of a path steps around a route's rule.

RFC 3986 §6.2.2: escapes of unreserved characters are decoded, others upper-cased, dot segments removed, ``//`` merged.
What is forwarded stays as it was sent. Upstreams differ about ``%2F``, ``%5C`` and ``;``, so a path with one of these
has a second reading, and the caller accepts it only if both readings lead to the same rule.
"""

import re
from typing import Final

UNUSUAL: Final = re.compile(rb"[%;]|//|/\.|[^\x21-\x7e]").search
"""Finds something in every path that is not its own normal form, or has a second reading."""
_UNCLEAN: Final = re.compile(rb"%|//|/\.|[^\x21-\x7e]").search
_DISPUTED: Final = re.compile(rb"%2[Ff]|%5[Cc]|;").search
_ESCAPE: Final = re.compile(rb"%([0-9A-Fa-f]{2})|[^\x21-\x7e]")
_UNRESERVED: Final = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~")


def normalise(path: bytes) -> bytes:
    """The path that rules are matched against."""
    if not _UNCLEAN(path):
        return path
    return _without_dots(_ESCAPE.sub(_escape, path))


def second_reading(path: bytes) -> bytes | None:
    """The path as an upstream sees it that decodes ``%2F`` and cuts ``;parameters``; None when nothing is disputed."""
    if not _DISPUTED(path):
        return None
    decoded = _ESCAPE.sub(_escape, path).replace(b"%2F", b"/").replace(b"%5C", b"/")
    return _without_dots(b"/".join(segment.partition(b";")[0] for segment in decoded.split(b"/")))


def _escape(matched: re.Match[bytes]) -> bytes:
    if matched[1] is None:
        return b"%%%02X" % matched[0][0]
    value = int(matched[1], 16)
    return bytes((value,)) if value in _UNRESERVED else matched[0].upper()


def _without_dots(path: bytes) -> bytes:
    """RFC 3986 §5.2.4, with empty segments merged."""
    kept: list[bytes] = []
    segments = path.split(b"/")
    for segment in segments:
        if segment == b"..":
            del kept[-1:]
        elif segment and segment != b".":
            kept.append(segment)
    ends_in_folder = segments[-1] in (b"", b".", b"..") and kept
    return b"/" + b"/".join(kept) + (b"/" if ends_in_folder else b"")
