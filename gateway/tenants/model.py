"""Tenants, keys and the principal that an authenticated call carries."""

from dataclasses import dataclass, field
from typing import Literal

import msgspec

TenantStatus = Literal["active", "suspended", "closed"]
Source = Literal["yaml", "store"]


class Tenant(msgspec.Struct, frozen=True, gc=False):
    """The customer organisation. ``id`` is a slug for YAML tenants, else ``ten_…``."""

    id: str
    name: str
    plan: str
    timezone: str = "UTC"
    billing_cycle: Literal["month", "year"] = "month"
    status: TenantStatus = "active"
    source: Source = "yaml"
    limits: dict[str, dict[str, int]] = {}
    anchor: str = ""  # ISO date of the subscription's anchor; empty: calendar periods


class Key(msgspec.Struct, frozen=True, gc=False):
    """A machine's credential, known by the SHA-256 of its text. Times are microseconds; None means never."""

    id: str
    tenant: str
    hash: bytes
    name: str = ""
    scopes: tuple[str, ...] = ()
    created_us: int = 0
    expires_us: int | None = None
    revoked_us: int | None = None
    source: Source = "yaml"
    hint: str = ""  # what may be shown of it: "gk_live_ab12…", never the secret
    addresses: tuple[str, ...] = ()  # networks that may use it; empty: any
    created_by: str = ""  # the person who made it by API or portal


@dataclass(slots=True)
class Principal:
    """Who calls: the tenant and the key that authenticated."""

    tenant: Tenant
    key: Key
    bound: object = field(default=None, compare=False, repr=False)
    """What the data plane last worked out for this caller; nothing that says who it is."""
    unrestricted: bool = field(init=False, compare=False, repr=False)
    """Neither the time, nor the tenant's status, nor the caller's address is a reason to refuse it."""

    def __post_init__(self) -> None:
        key = self.key
        endless = key.revoked_us is None and key.expires_us is None
        self.unrestricted = endless and self.tenant.status == "active" and not key.addresses
