"""Roles of people and what each may do: the one permission table. Edges ask ``allows`` and never compare roles."""

from typing import Literal, get_args

PlatformRole = Literal["admin", "finance", "support"]
TenantRole = Literal["owner", "admin", "member"]
Area = Literal[
    "platform",  # plans, configuration and the list of tenants
    "settings",  # a tenant's own name, zone and ways of writing
    "usage",  # figures, calls and limits
    "events",  # usage reported from outside
    "invoices",
    "keys",
    "subscription",
    "team",
    "audit",
]
Access = Literal[
    "read",
    "write",
    "pay",  # an invoice of one's own, and calculate it
    "preview",  # what a change, or the bill so far, would cost
    "create_own",  # a key, which its maker may also rotate and revoke
]

PLATFORM_ROLES: tuple[PlatformRole, ...] = get_args(PlatformRole)
TENANT_ROLES: tuple[TenantRole, ...] = get_args(TenantRole)
AREAS: tuple[Area, ...] = get_args(Area)

_READ: frozenset[Access] = frozenset({"read"})
_PREVIEW: frozenset[Access] = frozenset({"read", "preview"})
_PAY: frozenset[Access] = frozenset({"read", "preview", "pay"})
_OWN: frozenset[Access] = frozenset({"read", "create_own"})
_WRITE: frozenset[Access] = frozenset(get_args(Access))
_NONE: frozenset[Access] = frozenset()

# Tenants' people have nothing on ``platform`` and ``events``, not even a 403.
_PLATFORM: dict[Area, dict[str, frozenset[Access]]] = {
    "platform": {"admin": _WRITE, "finance": _READ, "support": _READ},
    "settings": {"admin": _WRITE, "finance": _READ, "support": _READ},
    "usage": {"admin": _WRITE, "finance": _READ, "support": _READ},
    "events": {"admin": _WRITE},
    "invoices": {"admin": _WRITE, "finance": _WRITE, "support": _PREVIEW},
    "keys": {"admin": _WRITE, "finance": _NONE, "support": _READ},
    "subscription": {"admin": _WRITE, "finance": _WRITE, "support": _READ},
    "team": {"admin": _WRITE, "finance": _NONE, "support": _READ},
    "audit": {"admin": _READ, "finance": _READ, "support": _READ},
}
_TENANT: dict[Area, dict[str, frozenset[Access]]] = {
    "platform": {},
    "settings": {"owner": _WRITE, "admin": _WRITE, "member": _READ},
    "usage": {"owner": _READ, "admin": _READ, "member": _READ},
    "events": {},
    "invoices": {"owner": _PAY, "admin": _PAY, "member": _READ},
    "keys": {"owner": _WRITE, "admin": _WRITE, "member": _OWN},
    "subscription": {"owner": _WRITE, "admin": _PREVIEW, "member": _READ},
    "team": {"owner": _WRITE, "admin": _WRITE, "member": _READ},
    "audit": {"owner": _READ, "admin": _READ, "member": _NONE},
}


def allows(role: str, *, of_tenant: bool, area: Area, access: Access) -> bool:
    """Whether a person of this role may do so in an area (a tenant's people: of their own tenant only)."""
    table = _TENANT if of_tenant else _PLATFORM
    return access in table[area].get(role, _NONE)


def knows(*, of_tenant: bool, area: Area) -> bool:
    """Whether anybody on that side has to do with an area; to the others it does not exist."""
    return bool((_TENANT if of_tenant else _PLATFORM)[area])


def may_give(role: str, given: str, *, of_tenant: bool) -> bool:
    """Whether who may change a team may give, take or end this role in it: a tenant's admins leave owners alone."""
    return given != "owner" or role == "owner" or not of_tenant


def is_role(role: str, *, of_tenant: bool) -> bool:
    """Whether the role exists on that side."""
    return role in (TENANT_ROLES if of_tenant else PLATFORM_ROLES)
