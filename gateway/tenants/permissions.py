"""Roles of people and what each may do: the one permission table. Edges ask ``allows`` and never compare roles."""

from typing import Literal, get_args

PlatformRole = Literal["admin", "finance", "support"]
TenantRole = Literal["owner", "admin", "member"]
Area = Literal["platform", "invoices", "keys", "subscription", "team", "audit"]
Access = Literal["read", "write"]

PLATFORM_ROLES: tuple[PlatformRole, ...] = get_args(PlatformRole)
TENANT_ROLES: tuple[TenantRole, ...] = get_args(TenantRole)

_READ: frozenset[Access] = frozenset({"read"})
_WRITE: frozenset[Access] = frozenset({"read", "write"})
_NONE: frozenset[Access] = frozenset()

# ``platform`` is plans, configuration and the list of tenants: tenants' people have nothing there, not even a 403.
_PLATFORM: dict[Area, dict[str, frozenset[Access]]] = {
    "platform": {"admin": _WRITE, "finance": _READ, "support": _READ},
    "invoices": {"admin": _WRITE, "finance": _WRITE, "support": _READ},
    "keys": {"admin": _WRITE, "finance": _NONE, "support": _READ},
    "subscription": {"admin": _WRITE, "finance": _WRITE, "support": _READ},
    "team": {"admin": _WRITE, "finance": _NONE, "support": _READ},
    "audit": {"admin": _READ, "finance": _READ, "support": _READ},
}
_TENANT: dict[Area, dict[str, frozenset[Access]]] = {
    "platform": {},
    "invoices": {"owner": _WRITE, "admin": _WRITE, "member": _READ},
    "keys": {"owner": _WRITE, "admin": _WRITE, "member": _READ},
    "subscription": {"owner": _WRITE, "admin": _READ, "member": _READ},
    "team": {"owner": _WRITE, "admin": _WRITE, "member": _READ},
    "audit": {"owner": _READ, "admin": _READ, "member": _NONE},
}


def allows(role: str, *, of_tenant: bool, area: Area, access: Access) -> bool:
    """Whether a person of this role may read or write an area (a tenant's people: of their own tenant only)."""
    table = _TENANT if of_tenant else _PLATFORM
    return access in table[area].get(role, _NONE)


def is_role(role: str, *, of_tenant: bool) -> bool:
    """Whether the role exists on that side."""
    return role in (TENANT_ROLES if of_tenant else PLATFORM_ROLES)
