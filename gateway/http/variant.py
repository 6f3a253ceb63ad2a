"""A field section that differs from the one before it in nothing but the credential.

One connection often carries the calls of many keys: a load balancer's, or a client's that serves many customers. What
is known of the section before holds for the next one then, but for the credential itself, so neither is parsed nor
composed anew. Everything else goes the whole way.
"""

import re
from dataclasses import dataclass
from typing import Final

from gateway.http.fields import LOWER

# A whole line that carries nothing but a credential. What may stand in its place is visible characters only, so that
# the lines around it stay the lines that were parsed.
_LINE: Final = re.compile(
    rb"^(?:x-api-key:[ \t]*|authorization:[ \t]*bearer [ \t]*)([\x21-\x7e]+)[ \t]*\r$", re.IGNORECASE | re.MULTILINE
)
_VISIBLE: Final = re.compile(rb"[\x21-\x7e]+").fullmatch
_NAMES: Final[tuple[bytes, ...]] = (b"x-api-key", b"authorization")


@dataclass(frozen=True)
class CredentialPlace:
    """Where a section's one credential stands: before it ``head``, behind it ``tail``."""

    head: bytes
    tail: bytes
    raw_at: int
    blanks: int
    index: int
    name: bytes

    def credential_of(self, section: bytes) -> bytes | None:
        """The credential in a section that is otherwise the same; None when it is not."""
        if not section.startswith(self.head) or not section.endswith(self.tail):
            return None
        credential = section[len(self.head) : len(section) - len(self.tail)]
        # Another field that holds it too is passed on with other credentials, and not with this one.
        repeated = self.head.find(credential) >= 0 or self.tail.find(credential) >= 0
        return credential if _VISIBLE(credential) and not repeated else None

    def raw(self, section: bytes) -> bytes:
        """The field's value as sent, blanks included."""
        return section[self.raw_at : len(section) - len(self.tail) + self.blanks]


def place_of(section: bytes, names: list[bytes]) -> CredentialPlace | None:
    """Where the credential stands; None when there is none, or when another field carries it, or could carry one."""
    lowered = [LOWER[name] for name in names]
    carriers = [index for index, name in enumerate(lowered) if name in _NAMES]
    found = _LINE.search(section)
    if len(carriers) != 1 or found is None or section.count(found[1]) != 1:
        return None
    begin, end = found.span(1)
    raw_at = section.index(b":", found.start()) + 1
    blanks = section.index(b"\r", end) - end
    return CredentialPlace(section[:begin], section[end:], raw_at, blanks, carriers[0], lowered[carriers[0]])
