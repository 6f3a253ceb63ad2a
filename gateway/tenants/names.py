"""What people may write into names and reasons: every script's letters, and joiners, which emoji and scripts need.

Refused are control characters, breaks of lines (Python's headers of e-mails refuse U+2028 too) and characters that turn
the direction of the text after them (UAX #9): a name must not rewrite the invoice it stands on.
"""

import re

ODD = r"\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069"
"""For a class of a regular expression, of Python's or of JSON Schema (ECMA-262)."""
_ODD = re.compile(f"[{ODD}\ud800-\udfff]")


def is_plain(text: str) -> bool:
    """Whether the text is well-formed Unicode without such characters."""
    return _ODD.search(text) is None


def is_name(text: str, most: int) -> bool:
    """Whether it is a name: plain, not empty, of ``most`` characters at most."""
    return 0 < len(text) <= most and is_plain(text)
