"""What the repositories of accounts and events take and give. Times are microseconds."""

from dataclasses import dataclass

from gateway.storage.values import Role


@dataclass(frozen=True, slots=True)
class PersonalToken:
    """A person's token for programs: it may do what its scopes and the person's role both allow."""

    id: str
    user: str
    name: str
    hash: bytes
    hint: str
    scopes: tuple[str, ...]
    created_us: int
    expires_us: int | None = None
    revoked_us: int | None = None
    last_used_us: int | None = None


@dataclass(frozen=True, slots=True)
class Invitation:
    """A seat that waits for somebody. ``tenant`` None: among the platform's own people or, for an owner, in an
    organisation that is made when the invitation is accepted."""

    id: str
    tenant: str | None
    email: str
    role: Role
    hash: bytes
    invited_by: str
    created_us: int
    expires_us: int
    accepted_us: int | None = None
    revoked_us: int | None = None


@dataclass(frozen=True, slots=True)
class TenantSettings:
    """How a tenant's people want things written; empty: as the browser or program likes."""

    locale: str = ""
    date_format: str = ""


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """What a request with an Idempotency-Key was answered. ``status`` 0: nothing yet."""

    request: bytes
    status: int
    answer: bytes
    created_us: int


@dataclass(frozen=True, slots=True)
class UsageEvent:
    """Usage that was reported from outside. ``hash`` is its identity: 16 bytes of (tenant, source, id).

    ``distinct`` is empty unless the meter counts different values.
    """

    hash: bytes
    tenant: str
    meter: str
    at_us: int
    value: int
    distinct: str
    type: str
    source: str
    id: str
    subject: str
