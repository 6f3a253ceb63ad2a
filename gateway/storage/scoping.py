"""The one place where a query is bound to whose rows it may touch."""

import sqlalchemy as sa

from gateway.errors import GatewayError
from gateway.storage.ports import Scope


class ScopeError(GatewayError):
    """An operation on the platform's or another tenant's affairs, asked in a tenant's name."""


def within(scope: Scope, tenant: sa.ColumnElement[str]) -> sa.ColumnElement[bool]:
    """The condition that keeps a query inside its scope; ``tenant`` is the table's tenant column."""
    return sa.true() if scope.tenant is None else tenant == scope.tenant


def platform_only(scope: Scope) -> None:
    """Refuse a tenant's scope."""
    if scope.tenant is not None:
        raise ScopeError("this operation belongs to the platform")


def must_own(scope: Scope, tenant: str | None) -> None:
    """Refuse to write a row of another tenant, or of the platform, in a tenant's name."""
    if scope.tenant is not None and scope.tenant != tenant:
        raise ScopeError("this belongs to another tenant")
