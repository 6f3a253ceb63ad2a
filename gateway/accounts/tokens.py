"""Personal tokens and their scopes: ``gpat_`` and 40 base62 characters (238 random bits), known by a SHA-256 alone."""

import hashlib
import re
import secrets

from gateway.accounts.refused import Refused, not_there
from gateway.clock import MINUTE_US, Clock
from gateway.ids import new_id
from gateway.storage.account_values import PersonalToken
from gateway.storage.ports import PLATFORM, Scope
from gateway.storage.store import Store
from gateway.storage.values import AuditEntry, User
from gateway.tenants.credentials import ALPHABET
from gateway.tenants.permissions import AREAS, Access, Area

PREFIX = "gpat_"
MAX_TOKENS = 50
SCOPES = ("read", "write", *(f"{area}:{access}" for area in AREAS for access in ("read", "write")))
"""``read`` and ``write`` are of every area; writing includes reading."""
_SHAPE = re.compile(r"gpat_[0-9A-Za-z]{40}", re.ASCII)


def in_scope(scopes: tuple[str, ...], area: Area, access: Access) -> bool:
    """Whether a token's scopes cover it; all that is not reading is writing."""
    wanted = {"write", f"{area}:write"}
    if access == "read":
        wanted |= {"read", f"{area}:read"}
    return not wanted.isdisjoint(scopes)


class TokenDesk:
    """Making, finding and ending personal tokens."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def create(
        self, user: User, name: str, scopes: tuple[str, ...], expires_us: int | None
    ) -> tuple[str, PersonalToken]:
        """A new token and its text, which is kept nowhere. Raises ``Refused``."""
        now = self._clock.now()
        if expires_us is not None and expires_us <= now:
            raise Refused("invalid", "The end must lie in the future.", "expires_at")
        living = [token for token in await self._store.tokens.list(Scope(user.tenant), user.id) if lives(token, now)]
        if len(living) >= MAX_TOKENS:
            raise Refused("conflict", f"At most {MAX_TOKENS} tokens at a time: revoke one first.")
        text = PREFIX + "".join(secrets.choice(ALPHABET) for _ in range(40))
        token = PersonalToken(new_id("pat", now), user.id, name, _digest(text), f"{text[:9]}…", scopes, now, expires_us)
        if not await self._store.tokens.create(Scope(user.tenant), token):
            raise not_there("person")
        await self._audit(user, "token.created", token.id)
        return text, token

    async def list(self, user: User) -> list[PersonalToken]:
        """The person's tokens, newest first."""
        return await self._store.tokens.list(Scope(user.tenant), user.id)

    async def revoke(self, user: User, id: str) -> None:
        """End one at once; raises ``Refused`` when it is not this person's."""
        if not await self._store.tokens.revoke(Scope(user.tenant), user.id, id, self._clock.now()):
            raise not_there("token")
        await self._audit(user, "token.revoked", id)

    async def find(self, text: str) -> tuple[PersonalToken, User] | None:
        """Whose living token this is; None when it is nobody's, over, or its person may not log in."""
        if not _SHAPE.fullmatch(text):
            return None
        now = self._clock.now()
        token = await self._store.tokens.find(PLATFORM, _digest(text))
        if token is None or not lives(token, now):
            return None
        user = await self._store.people.get_user(PLATFORM, token.user)
        if user is None or user.status != "active":
            return None
        if now - (token.last_used_us or 0) > MINUTE_US:
            await self._store.tokens.touch(PLATFORM, token.id, now)
        return token, user

    async def _audit(self, user: User, action: str, target: str) -> None:
        entry = AuditEntry(self._clock.now(), user.id, action, target, user.tenant)
        await self._store.audit.append(Scope(user.tenant), entry)


def lives(token: PersonalToken, now_us: int) -> bool:
    """Neither revoked nor past its end."""
    return token.revoked_us is None and (token.expires_us is None or token.expires_us > now_us)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
