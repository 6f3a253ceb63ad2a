"""Between rows and the domains' values."""

from typing import Any

import sqlalchemy as sa

from gateway.storage.values import Link, Session, User
from gateway.tenants.model import Key, Tenant

AnyRow = sa.Row[Any]


def tenant_of(row: AnyRow) -> Tenant:
    """A row of ``tenants``."""
    return Tenant(
        id=row.id,
        name=row.name,
        plan=row.plan,
        timezone=row.timezone,
        billing_cycle=row.billing_cycle,
        status=row.status,
        source=row.source,
        limits=row.limits,
        anchor=row.anchor,
    )


def tenant_values(tenant: Tenant) -> dict[str, object]:
    """The columns that a tenant's definition fills; its state and age are the store's."""
    return {
        "id": tenant.id,
        "name": tenant.name,
        "plan": tenant.plan,
        "timezone": tenant.timezone,
        "billing_cycle": tenant.billing_cycle,
        "source": tenant.source,
        "limits": {name: dict(override) for name, override in tenant.limits.items()},
        "anchor": tenant.anchor,
    }


def key_of(row: AnyRow) -> Key:
    """A row of ``keys``."""
    return Key(
        id=row.id,
        tenant=row.tenant,
        hash=row.hash,
        name=row.name,
        scopes=tuple(row.scopes),
        created_us=row.created_us,
        expires_us=row.expires_us,
        revoked_us=row.revoked_us,
        source=row.source,
        hint=row.hint,
        addresses=tuple(row.addresses),
        created_by=row.created_by,
    )


def key_values(key: Key) -> dict[str, object]:
    """All columns of ``keys`` but the last use."""
    return {
        "tenant": key.tenant,
        "id": key.id,
        "hash": key.hash,
        "name": key.name,
        "scopes": list(key.scopes),
        "created_us": key.created_us,
        "expires_us": key.expires_us,
        "revoked_us": key.revoked_us,
        "source": key.source,
        "hint": key.hint,
        "addresses": list(key.addresses),
        "created_by": key.created_by,
    }


def user_of(row: AnyRow) -> User:
    """A row of ``users``."""
    return User(
        row.id,
        row.email,
        row.role,
        row.tenant,
        row.name,
        row.password_hash,
        row.status,
        row.created_us,
        row.verified_us,
    )


def session_of(row: AnyRow) -> Session:
    """A row of ``sessions``."""
    return Session(
        row.id,
        row.user,
        row.created_us,
        row.idle_expires_us,
        row.expires_us,
        row.revoked_us,
        row.address,
        row.refreshes,
    )


def link_of(row: AnyRow) -> Link:
    """A row of ``links``."""
    return Link(row.hash, row.user, row.purpose, row.created_us, row.expires_us, row.used_us)
