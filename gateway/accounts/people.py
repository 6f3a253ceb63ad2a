"""People's accounts: create, prove a password, one-time links. Nothing here knows HTTP or prints.

Passwords are argon2id, computed off the loop, two at a time at most (each takes 19 MiB). A look-up that finds nobody
costs the same hash, so that timing names no account.
"""

import asyncio
import hashlib
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from gateway.accounts.ports import Audit, People
from gateway.accounts.refused import AccountError, Refused
from gateway.clock import DAY_US, HOUR_US, Clock
from gateway.ids import new_id
from gateway.storage.ports import PLATFORM, Scope
from gateway.storage.values import AuditEntry, Link, LinkPurpose, Role, User
from gateway.tenants.permissions import is_role

MIN_PASSWORD = 10
MAX_PASSWORD = 256
RESET_TTL_US = DAY_US
FIRST_ADMIN_TTL_US = HOUR_US
FIRST_ADMIN = "admin@localhost"

_EMAIL = re.compile(r"[^\s@\x00-\x1f\x7f<>\"'\\,;:]{1,64}@[^\s@\x00-\x1f\x7f<>\"'\\,;:]{1,189}")
_HASHER = PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1)  # OWASP's first choice for argon2id
_NOBODY = _HASHER.hash(secrets.token_hex(16))


@dataclass(frozen=True, slots=True)
class Redeemed:
    """A one-time link that was used just now, and its person."""

    user: User
    purpose: LinkPurpose


def normal_email(text: str) -> str:
    """The address in the form in which it is unique; raises ``AccountError``."""
    email = text.strip().lower()
    if not _EMAIL.fullmatch(email):
        raise AccountError(f"{text.strip()[:80]!r} is not an e-mail address")
    return email


def check_new_password(password: str) -> None:
    """Raise ``AccountError`` unless the length is right: length is what counts (NIST SP 800-63B §5.1.1.2)."""
    if len(password) < MIN_PASSWORD:
        raise AccountError(f"Use at least {MIN_PASSWORD} characters.")
    if len(password) > MAX_PASSWORD:
        raise AccountError(f"Use at most {MAX_PASSWORD} characters.")


class Accounts:
    """The operations on people, over the store's repositories."""

    def __init__(
        self, people: People, audit: Audit, clock: Clock, verify_email: Callable[[], bool] = lambda: False
    ) -> None:
        self._people = people
        self._verify_email = verify_email
        self._audit = audit
        self._clock = clock
        self._hashing = asyncio.Semaphore(2)

    async def create_user(
        self,
        email: str,
        role: Role,
        tenant: str | None = None,
        *,
        actor: str = "cli",
        name: str = "",
        verified: bool = True,
    ) -> User:
        """A new person without a password yet; raises ``AccountError`` or the store's ``Conflict``.

        ``verified``: somebody vouches that the address is theirs.
        """
        if not is_role(role, of_tenant=tenant is not None):
            raise AccountError(f"{role} is not a role of {'a tenant' if tenant else 'the platform'}")
        now = self._clock.now()
        user = User(
            new_id("usr", now), normal_email(email), role, tenant, name, created_us=now,
            verified_us=now if verified else None,
        )  # fmt: skip
        scope = Scope(tenant)
        await self._people.create_user(scope, user)
        await self._audit.append(scope, AuditEntry(now, actor, "user.created", user.id, tenant, {"role": role}))
        return user

    async def find(self, email: str) -> User | None:
        """The person with this address."""
        return await self._people.find_email(PLATFORM, normal_email(email))

    async def issue_link(self, user: User, purpose: LinkPurpose, ttl_us: int) -> str:
        """A token that logs this person in once within ``ttl_us``. Only its hash is kept."""
        token = secrets.token_urlsafe(32)
        now = self._clock.now()
        await self._people.create_link(PLATFORM, Link(_digest(token), user.id, purpose, now, now + ttl_us))
        return token

    async def redeem(self, token: str) -> Redeemed | None:
        """Use a token up; None when it is unknown, used, too old, or its person disabled."""
        if not 16 <= len(token) <= 128:
            return None
        now = self._clock.now()
        link = await self._people.use_link(PLATFORM, _digest(token), now)
        user = await self._people.get_user(PLATFORM, link.user) if link else None
        if link is None or user is None or user.status != "active":
            return None
        await self._audit.append(
            Scope(user.tenant),
            AuditEntry(now, user.id, "user.link_used", user.id, user.tenant, {"purpose": link.purpose}),
        )
        return Redeemed(user, link.purpose)

    async def prove(self, email: str, password: str) -> User | None:
        """The person whose password this is, or None; both take one hash, whatever was wrong.

        Raises ``Refused`` when the password is right and the address still has to be verified.
        """
        try:
            user = await self._people.find_email(PLATFORM, normal_email(email))
        except AccountError:
            user = None
        known = user is not None and user.status == "active" and bool(user.password_hash)
        stored = user.password_hash if user is not None and known else _NOBODY
        async with self._hashing:
            right = await asyncio.to_thread(_verify, stored, password[: MAX_PASSWORD + 1])
        if not (known and right) or user is None:
            return None
        if user.verified_us is None and self._verify_email():
            raise Refused("email_unverified", "Open the link in the message that we sent to you first.")
        return user

    async def hash(self, password: str) -> str:
        """What is kept of a new password; raises ``AccountError``. It takes long: not within a unit of work."""
        check_new_password(password)
        async with self._hashing:
            return await asyncio.to_thread(_HASHER.hash, password)

    async def set_password(self, user: User, password: str) -> None:
        """Change the password and end every session of the person; raises ``AccountError``."""
        await self.set_hash(user, await self.hash(password))

    async def set_hash(self, user: User, hashed: str) -> None:
        """The same with what ``hash`` made."""
        now = self._clock.now()
        await self._people.set_password(PLATFORM, user.id, hashed)
        await self._people.revoke_sessions(PLATFORM, user.id, now)
        entry = AuditEntry(now, user.id, "user.password_changed", user.id, user.tenant)
        await self._audit.append(Scope(user.tenant), entry)

    async def forget_password(self, user: User) -> None:
        """Make the old password useless and end every session, before a reset link is given out."""
        now = self._clock.now()
        await self._people.set_password(PLATFORM, user.id, "")
        await self._people.revoke_sessions(PLATFORM, user.id, now)
        await self._audit.append(Scope(user.tenant), AuditEntry(now, "cli", "user.reset", user.id, user.tenant))

    async def first_admin_token(self) -> str | None:
        """A token for the first admin, made if need be; None once an admin can log in some other way.

        The made account has no password until its person sets one; until then each start gives a new link, unless
        there is another admin.
        """
        first = await self._people.find_email(PLATFORM, FIRST_ADMIN)
        if await self._people.has_admin(PLATFORM, besides=FIRST_ADMIN):
            return None
        if first is not None:
            waiting = not first.password_hash and first.status == "active"
            return await self.issue_link(first, "login", FIRST_ADMIN_TTL_US) if waiting else None
        user = await self.create_user(FIRST_ADMIN, "admin", actor="first start")
        return await self.issue_link(user, "login", FIRST_ADMIN_TTL_US)


def link_url(public_url: str, token: str) -> str:
    """Where a person opens a one-time link."""
    return f"{public_url.rstrip('/')}/login/link?token={token}"


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _verify(stored: str, password: str) -> bool:
    try:
        return _HASHER.verify(stored, password)
    except (Argon2Error, InvalidHashError):
        return False
