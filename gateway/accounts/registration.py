"""How people come in by themselves: register an organisation, verify the address, forget a password.

Whoever asks learns nothing about which addresses have accounts: the answer, and nearly the work, is the same.
"""

import asyncio
import hashlib
import logging
import secrets
from collections.abc import Callable
from urllib.parse import urlencode

from gateway.accounts.mail import Mailer, known_mail, reset_mail, verify_mail
from gateway.accounts.people import Accounts, check_new_password, normal_email
from gateway.accounts.refused import Refused
from gateway.clock import DAY_US, HOUR_US, Clock
from gateway.config.accounts import AccountSettings
from gateway.errors import GatewayError
from gateway.ids import new_id
from gateway.storage.account_values import Invitation
from gateway.storage.engine import Conflict
from gateway.storage.people import LOGIN_PURPOSES
from gateway.storage.ports import PLATFORM, Scope
from gateway.storage.store import Store
from gateway.storage.values import AuditEntry, Link, LinkPurpose, User
from gateway.tenants.model import Tenant

VERIFY_TTL_US = DAY_US
PASSWORD_TTL_US = HOUR_US
logger = logging.getLogger(__name__)


def token_hash(token: str) -> bytes:
    """What the store knows a link's or an invitation's token by."""
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()


class Registration:
    """The operations; all raise ``AccountError``."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        accounts: Accounts,
        mailer: Mailer,
        settings: Callable[[], AccountSettings],
        public_url: Callable[[], str],
    ) -> None:
        self._store = store
        self._clock = clock
        self._accounts = accounts
        self._mailer = mailer
        self._settings = settings
        self._public_url = public_url
        self._tasks: set[asyncio.Task[None]] = set()

    async def register(self, organisation: str, name: str, email: str, password: str, invitation: str = "") -> None:
        """A new organisation and its owner; nothing but a message when the address has an account."""
        settings = self._settings()
        check_new_password(password)
        email = normal_email(email)
        invited = await self._admit(settings, invitation, email)
        hashed = await self._accounts.hash(password)  # for an address that has an account too: the same work
        verified = invited is not None or not settings.verify_email
        token = ""
        try:
            if await self._accounts.find(email) is not None:
                raise Conflict(email)
            async with self._store.unit():
                if invited is not None and not await self._accept(invited):
                    raise _link_over()
                user = await self._found(organisation, name, email, settings.default_plan, verified=verified)
                await self._accounts.set_hash(user, hashed)
                if not verified:
                    token = await self._link(user, "verify")
        except Conflict:  # also when somebody registers with the same address in this very moment
            await self._mailer.send(known_mail(email, self.url("/login")))
            return
        if token:
            await self._mailer.send(verify_mail(email, self.url("/verify", token)))

    async def verify(self, token: str) -> User:
        """The person whose address is proved by this token."""
        user = await self._redeem(token, "verify")
        await self._store.people.set_verified(PLATFORM, user.id, self._clock.now())
        return user

    def forgot(self, email: str) -> None:
        """Send a link for a new password, if there is such a person. The old password stays.

        It is done after the answer, so that how long that takes tells nothing.
        """
        task = asyncio.create_task(self._send_reset(email), name="forgotten password")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def settle(self) -> None:
        """Return once all that was promised is done."""
        while self._tasks:
            await asyncio.gather(*self._tasks)

    async def reset(self, token: str, password: str) -> User:
        """A new password by the link that ``forgot`` sent, or by the operator's; every session of the person ends."""
        hashed = await self._accounts.hash(password)
        async with self._store.unit():
            user = await self._redeem(token, "password", *LOGIN_PURPOSES)
            await self._accounts.set_hash(user, hashed)
            await self._store.people.set_verified(PLATFORM, user.id, self._clock.now())
        return user

    async def _send_reset(self, email: str) -> None:
        try:
            user = await self._accounts.find(email)
            if user is not None and user.status == "active":
                link = self.url("/reset", await self._link(user, "password"))
                await self._mailer.send(reset_mail(user.email, link))
        except (GatewayError, OSError) as error:
            logger.warning("a link for a new password was not sent", extra={"reason": str(error)})

    def url(self, path: str, token: str = "") -> str:
        """An address of our pages."""
        return self._public_url() + path + (f"?{urlencode({'token': token})}" if token else "")

    async def _admit(self, settings: AccountSettings, invitation: str, email: str) -> Invitation | None:
        if settings.registration == "open" and not invitation:
            return None
        if settings.registration != "closed" and invitation:
            hash = token_hash(invitation)
            found = await self._store.invitations.find(PLATFORM, hash, self._clock.now())
            if found is not None and found.tenant is None and found.role == "owner" and found.email == email:
                return found
            raise _link_over()
        raise Refused("registration_closed", "New organisations are made by invitation or by the operator only.")

    async def _accept(self, invited: Invitation) -> bool:
        return await self._store.invitations.accept(PLATFORM, invited.hash, self._clock.now()) is not None

    async def _found(self, organisation: str, name: str, email: str, plan: str, *, verified: bool) -> User:
        now = self._clock.now()
        tenant = Tenant(new_id("ten", now), organisation, plan, source="store")
        await self._store.tenants.create(PLATFORM, tenant, now)
        user = await self._accounts.create_user(
            email, "owner", tenant.id, actor="registration", name=name, verified=verified
        )
        entry = AuditEntry(now, user.id, "tenant.registered", tenant.id, tenant.id, {"plan": plan})
        await self._store.audit.append(Scope(tenant.id), entry)
        return user

    async def _link(self, user: User, purpose: LinkPurpose) -> str:
        ttl_us = VERIFY_TTL_US if purpose == "verify" else PASSWORD_TTL_US
        token, now = secrets.token_urlsafe(32), self._clock.now()
        await self._store.people.create_link(PLATFORM, Link(token_hash(token), user.id, purpose, now, now + ttl_us))
        return token

    async def _redeem(self, token: str, *purposes: LinkPurpose) -> User:
        link = await self._store.people.use_link(PLATFORM, token_hash(token), self._clock.now(), purposes)
        user = await self._store.people.get_user(PLATFORM, link.user) if link else None
        if user is None or user.status != "active":
            raise _link_over()
        return user


def _link_over() -> Refused:
    return Refused("link_expired", "This link is used, too old or cut short. Ask for a new one.")
