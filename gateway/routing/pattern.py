"""One path of a route: ``/x`` a prefix on a segment boundary, ``=/x`` exact, ``/x/{id}`` a whole path of segments."""

from dataclasses import dataclass
from typing import Literal

from gateway.routing.normalise import normalise


@dataclass(frozen=True, slots=True)
class Pattern:
    """A path rule, normalised. ``segments`` hold None for a ``{parameter}``; ``exact`` paths keep ``path`` alone."""

    kind: Literal["exact", "prefix", "template"]
    path: bytes
    segments: tuple[bytes | None, ...] = ()

    @property
    def rank(self) -> tuple[int, int, int]:
        """Larger is more specific: exact, then most literal segments, then longest (CONTRACT, Matching)."""
        if self.kind == "exact":
            return (1, 0, 0)
        return (0, sum(segment is not None for segment in self.segments), len(self.segments))

    def overlaps(self, other: "Pattern") -> bool:
        """Whether some path is matched by both."""
        if self.kind == "template" == other.kind:
            return len(self.segments) == len(other.segments) and all(
                a is None or b is None or a == b for a, b in zip(self.segments, other.segments, strict=True)
            )
        return self.kind == other.kind and self.path == other.path


def parse_pattern(text: str) -> Pattern:
    """A path in the configuration's form; raises ``ValueError`` with what is wrong."""
    exact = text.startswith("=")
    raw = text[1:] if exact else text
    if not raw.startswith("/"):
        raise ValueError("a path starts with / or =/")
    if "?" in raw or "#" in raw:
        raise ValueError("a path has no query and no fragment")
    path = normalise(raw.encode())
    if exact:
        return Pattern("exact", path)
    segments = tuple(_segment(segment) for segment in _split(raw))
    if None in segments:
        return Pattern("template", path, segments)
    return Pattern("prefix", b"/" + b"/".join(_split_bytes(path)), segments)


def _split(raw: str) -> list[str]:
    return [segment for segment in raw.split("/") if segment]


def _split_bytes(path: bytes) -> list[bytes]:
    return [segment for segment in path.split(b"/") if segment]


def _segment(text: str) -> bytes | None:
    if text.startswith("{") and text.endswith("}") and len(text) > 2:
        return None
    if "{" in text or "}" in text:
        raise ValueError("a {parameter} is a whole segment")
    return normalise(b"/" + text.encode())[1:]
