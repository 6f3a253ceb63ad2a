"""Who works where: invitations, roles, and who may no longer come in. For tenants' teams and the platform's own."""

import secrets

from gateway.accounts.mail import Mailer, invite_mail
from gateway.accounts.people import Accounts, normal_email
from gateway.accounts.refused import Refused, not_there
from gateway.accounts.registration import Registration, token_hash
from gateway.clock import DAY_US, Clock
from gateway.ids import new_id
from gateway.storage.account_values import Invitation
from gateway.storage.engine import Conflict
from gateway.storage.ports import PLATFORM, Scope
from gateway.storage.store import Store
from gateway.storage.values import AuditEntry, Role, User
from gateway.tenants.model import Tenant
from gateway.tenants.permissions import is_role, may_give

INVITATION_TTL_US = 7 * DAY_US


class TeamDesk:
    """The operations, for a tenant or (``tenant`` None) the platform. All raise ``AccountError``."""

    def __init__(self, store: Store, clock: Clock, accounts: Accounts, mailer: Mailer, links: Registration) -> None:
        self._store = store
        self._clock = clock
        self._accounts = accounts
        self._mailer = mailer
        self._links = links

    async def people(self, tenant: str | None) -> list[User]:
        """The team by e-mail."""
        return await self._store.people.list_users(Scope(tenant), tenant)

    async def person(self, tenant: str | None, id: str) -> User:
        """One of the team."""
        user = await self._store.people.get_user(Scope(tenant), id)
        if user is None or user.tenant != tenant:
            raise not_there("person")
        return user

    async def invite(self, actor: User, tenant: Tenant | None, email: str, role: Role) -> Invitation:
        """Send an invitation; an older open one to the same address ends. A platform's invitation of an ``owner`` is
        for somebody who founds a new organisation."""
        email = normal_email(email)
        founding = tenant is None and role == "owner"
        if not founding and not is_role(role, of_tenant=tenant is not None):
            raise Refused("invalid", f"{role} is not a role here.", "role")
        self._may_give(actor, role)
        if tenant is not None and tenant.status == "closed":
            raise Refused("tenant_closed", "This organisation is closed.")
        now, token = self._clock.now(), secrets.token_urlsafe(32)
        scope_id = tenant.id if tenant else None
        invitation = Invitation(
            new_id("ivt", now), scope_id, email, role, token_hash(token), actor.id, now, now + INVITATION_TTL_US
        )
        await self._store.invitations.create(Scope(scope_id), invitation)
        await self._audit(actor, "invitation.created", invitation.id, scope_id, {"role": role})
        where = tenant.name if tenant else "the gateway"
        path = "/register" if founding else "/invite"
        await self._mailer.send(invite_mail(email, where, role, self._links.url(path, token)))
        return invitation

    async def invitations(self, tenant: str | None) -> list[Invitation]:
        """All, newest first."""
        return await self._store.invitations.list(Scope(tenant), tenant)

    async def withdraw(self, actor: User, tenant: str | None, id: str) -> None:
        """End an invitation that nobody accepted."""
        found = next((one for one in await self.invitations(tenant) if one.id == id), None)
        if found is None:
            raise not_there("invitation")
        self._may_give(actor, found.role)
        if not await self._store.invitations.revoke(Scope(tenant), tenant, id, self._clock.now()):
            raise Refused("conflict", "This invitation was accepted already.")
        await self._audit(actor, "invitation.revoked", id, tenant, {})

    async def accept(self, token: str, name: str, password: str) -> User:
        """Join by an invitation's token."""
        hashed, now = await self._accounts.hash(password), self._clock.now()
        async with self._store.unit():
            found = await self._store.invitations.accept(PLATFORM, token_hash(token), now)
            if found is None or (found.tenant is None and found.role == "owner"):
                raise Refused("link_expired", "This invitation is used, withdrawn or too old. Ask for a new one.")
            try:
                user = await self._accounts.create_user(
                    found.email, found.role, found.tenant, actor=found.invited_by, name=name
                )
            except Conflict:
                raise Refused("already_exists", "This address has an account already.") from None
            await self._accounts.set_hash(user, hashed)
        return user

    async def change(
        self, actor: User, tenant: str | None, id: str, *, role: Role | None = None, active: bool | None = None
    ) -> User:
        """Give a person of the team another role, or let them in no longer (or again)."""
        user = await self.person(tenant, id)
        if user.id == actor.id:
            raise Refused("conflict", "Nobody changes their own role or access: ask a colleague.")
        if role is not None and not is_role(role, of_tenant=tenant is not None):
            raise Refused("invalid", f"{role} is not a role here.", "role")
        self._may_give(actor, user.role)
        self._may_give(actor, role or user.role)
        await self._keep_one(user, role, active)
        scope, now = Scope(tenant), self._clock.now()
        if role is not None and role != user.role:
            await self._store.people.set_role(scope, id, role)
            await self._audit(actor, "user.role_changed", id, tenant, {"from": user.role, "to": role})
        if active is not None and active != (user.status == "active"):
            await self._store.people.set_user_status(scope, id, "active" if active else "disabled")
            await self._audit(actor, "user.enabled" if active else "user.disabled", id, tenant, {})
            if not active:
                await self._store.people.revoke_sessions(PLATFORM, id, now)
        return await self.person(tenant, id)

    async def _keep_one(self, user: User, role: Role | None, active: bool | None) -> None:
        """A tenant keeps an owner, and the platform an admin."""
        top = "owner" if user.tenant is not None else "admin"
        leaves = active is False or (role is not None and role != top)
        if user.role != top or user.status != "active" or not leaves:
            return
        others = [
            one
            for one in await self.people(user.tenant)
            if one.role == top and one.status == "active" and one.id != user.id
        ]
        if not others:
            raise Refused("last_owner", f"This is the last {top}: make another one first.")

    def _may_give(self, actor: User, role: str) -> None:
        if not may_give(actor.role, role, of_tenant=actor.tenant is not None):
            raise Refused("forbidden", "Only an owner changes owners.")

    async def _audit(self, actor: User, action: str, target: str, tenant: str | None, detail: dict[str, str]) -> None:
        entry = AuditEntry(self._clock.now(), actor.id, action, target, tenant, detail)
        await self._store.audit.append(Scope(tenant), entry)
