"""The name that a person probably meant."""

from collections.abc import Iterable
from difflib import get_close_matches


def hint(wrong: str, valid: Iterable[str]) -> str:
    """``; did you mean "tokens"?``, or the valid names when they are few and none is near, or nothing."""
    names = sorted(set(valid))
    lowered = {name.lower(): name for name in names}
    near = get_close_matches(wrong.lower(), lowered, n=1, cutoff=0.6)
    if near:
        return f'; did you mean "{lowered[near[0]]}"?'
    if 0 < len(names) <= 12:
        return f"; known here: {', '.join(names)}"
    return ""
