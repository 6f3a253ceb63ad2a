"""What repositories take and give beside the domains' own values. Times are microseconds, sizes bytes."""

from dataclasses import dataclass, field
from typing import Generic, Literal, TypeVar

from gateway.errors import GatewayError

Role = Literal["admin", "finance", "support", "owner", "member"]
"""Platform people are admin, finance or support; a tenant's are owner, admin or member."""

_DIGITS = 18  # always within 63 bits

LinkPurpose = Literal["login", "reset", "invite", "verify", "password"]
"""The first three log in; ``verify`` proves an address, ``password`` lets its person choose a new password."""
ChangeKind = Literal["tenant", "key", "plan"]
Bucket = Literal["hour", "day"]
Dimension = Literal["key", "route", "meter", "status"]

Row = TypeVar("Row")


class BadCursor(GatewayError):
    """``after`` is no cursor that this list gave."""


def cursor_number(text: str) -> int:
    """A whole number from a cursor, as strangers may have changed it; raises ``BadCursor``."""
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS):
        raise BadCursor("after: not a cursor of this list")
    return int(text)


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """One page of a list. ``next`` is the cursor to pass as ``after``; None on the last page."""

    rows: tuple[Row, ...]
    next: str | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """One change of state that workers must learn (SEMANTICS §31): what changed, not how."""

    sequence: int
    kind: ChangeKind
    tenant: str
    id: str


@dataclass(frozen=True, slots=True)
class User:
    """A person. ``email`` is lower case and unique; ``tenant`` None means the platform's own people."""

    id: str
    email: str
    role: Role
    tenant: str | None = None
    name: str = ""
    password_hash: str = ""
    status: Literal["active", "disabled"] = "active"
    created_us: int = 0
    verified_us: int | None = None


@dataclass(frozen=True, slots=True)
class Session:
    """A login. It ends at ``idle_expires_us`` unless touched, at ``expires_us`` in any case, or when revoked."""

    id: str
    user: str
    created_us: int
    idle_expires_us: int
    expires_us: int
    revoked_us: int | None = None
    address: str = ""
    refreshes: int = 0


@dataclass(frozen=True, slots=True)
class Link:
    """A one-time link, known by the SHA-256 of its token."""

    hash: bytes
    user: str
    purpose: LinkPurpose
    created_us: int
    expires_us: int
    used_us: int | None = None


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Who did what to which object. ``id`` is given by the store; ``tenant`` None means the platform's own affairs."""

    at_us: int
    actor: str
    action: str
    target: str
    tenant: str | None = None
    detail: dict[str, str] = field(default_factory=dict)
    id: int = 0


@dataclass(frozen=True, slots=True)
class CallFilter:
    """Which calls to list. Empty text, 0 and None mean any; ``[since_us, until_us)`` is half-open.

    ``status`` is an exact code (404) or a class (4 for 4xx). ``meter``: rows that count it; ``posted`` is a span of
    posting sequences, above the first up to the second.
    """

    tenant: str = ""
    key: str = ""
    route: str = ""
    status: int = 0
    outcome: str = ""
    since_us: int | None = None
    until_us: int | None = None
    meter: str = ""
    billable: bool = False
    posted: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class CallRow:
    """A call as the ledger holds it: the fields of ``CallRecord`` and its posting sequence."""

    posting: int
    id: bytes
    part: int
    at_us: int
    tenant: str
    key: str
    route: str
    upstream: str
    target: str
    method: str
    path: str
    status: int
    upstream_status: int
    outcome: str
    request_bytes: int
    response_bytes: int
    units: dict[str, int]
    quota_units: dict[str, int]
    counted: bool
    billable: bool
    not_billable: str
    ttfb_us: int
    duration_us: int
    attempts: int
    address: str
    address_hash: bytes
    request_id: str
    plan: str
    flags: int
    part_at_us: int

    @property
    def own_us(self) -> int:
        """The row's own time: that of a part, else of the call (SEMANTICS §5)."""
        return self.part_at_us or self.at_us


@dataclass(slots=True)
class UsageSum:
    """Sums of one bucket, key, route, meter, status class or tenant; ``name`` says which.

    ``start_us`` and ``end_us`` are set in a series. ``units`` are billable; ``errors`` are calls answered 5xx.
    """

    name: str = ""
    start_us: int = 0
    end_us: int = 0
    calls: int = 0
    billable: int = 0
    errors: int = 0
    request_bytes: int = 0
    response_bytes: int = 0
    units: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RefusalSum:
    """How many calls were refused with one code (SEMANTICS §6: refusals are no records)."""

    code: str
    status: int
    count: int


@dataclass(frozen=True, slots=True)
class HostMark:
    """How far one host has shipped: everything before ``complete_until_us`` is in the ledger, as told at
    ``reported_us``."""

    host: str
    complete_until_us: int
    reported_us: int


@dataclass(frozen=True, slots=True)
class SealedRange:
    """A stretch ``[start_us, end_us)`` of whose calls only sums are left, and how many rows they were."""

    start_us: int
    end_us: int
    rows: int
