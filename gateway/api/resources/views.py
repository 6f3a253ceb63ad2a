"""How people, tenants and keys are shown, where several resources show them."""

from typing import Literal

from gateway.api.values import Model, Time, time_or_none, time_text
from gateway.storage.values import Role, User


class UserView(Model):
    """A person. ``tenant`` null: one of the platform's own."""

    id: str
    email: str
    name: str
    role: Role
    tenant: str | None
    status: Literal["active", "disabled"]
    verified_at: Time | None
    created_at: Time

    @classmethod
    def of(cls, user: User) -> "UserView":
        return cls(
            id=user.id,
            email=user.email,
            name=user.name,
            role=user.role,
            tenant=user.tenant,
            status=user.status,
            verified_at=time_or_none(user.verified_us),
            created_at=time_text(user.created_us),
        )
