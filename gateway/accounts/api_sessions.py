"""Sessions of programs that log a person in: an access token for 15 minutes and a refresh token that works once.

Both are JWTs (HS256, keys of their own, so that a page's cookie is neither). The session is a row: it ends at logout,
when the password changes, 30 days after its last refresh, and 90 days after the login. A refresh token that comes a
second time was copied, so the session ends (RFC 9700 §4.14.2).
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass

import jwt

from gateway.clock import DAY_US, MINUTE_US, SECOND_US, Clock
from gateway.storage.ports import PLATFORM
from gateway.storage.store import Store
from gateway.storage.values import Session, User

ACCESS_US = 15 * MINUTE_US
IDLE_US = 30 * DAY_US
ABSOLUTE_US = 90 * DAY_US
MAX_TOKEN = 1024


@dataclass(frozen=True, slots=True)
class TokenPair:
    """What a login or a refresh hands out."""

    access: str
    refresh: str
    user: User


class ApiSessions:
    """Open, find, refresh and end."""

    def __init__(self, store: Store, clock: Clock, secret: bytes) -> None:
        self._store = store
        self._clock = clock
        self._access = _derive(secret, "access")
        self._refresh = _derive(secret, "refresh")

    async def open(self, user: User, address: str) -> TokenPair:
        """A new session of a person who proved to be one."""
        now = self._clock.now()
        session = Session(f"ses_{secrets.token_hex(16)}", user.id, now, now + IDLE_US, now + ABSOLUTE_US, None, address)
        await self._store.people.open_session(PLATFORM, session)
        return self._pair(session, user, 0)

    async def find(self, access: str) -> tuple[Session, User] | None:
        """Who holds this access token; None when it is forged or expired, its session over, or the person disabled."""
        claims = self._claims(access, self._access, "gateway-api")
        if claims is None or claims["exp"] * SECOND_US <= self._clock.now():
            return None
        return await self._living(str(claims["sid"]))

    async def refresh(self, token: str) -> TokenPair | None:
        """A new pair for a refresh token that was not used before; None for any other."""
        claims = self._claims(token, self._refresh, "gateway-refresh")
        if claims is None or not isinstance(claims.get("gen"), int):
            return None
        found = await self._living(str(claims["sid"]))
        if found is None:
            return None
        session, user = found
        now = self._clock.now()
        if not await self._store.people.refresh_session(PLATFORM, session.id, claims["gen"], now + IDLE_US):
            await self._store.people.revoke_session(PLATFORM, session.id, now)
            return None
        return self._pair(session, user, claims["gen"] + 1)

    async def end(self, session: Session) -> None:
        """Log out."""
        await self._store.people.revoke_session(PLATFORM, session.id, self._clock.now())

    async def _living(self, id: str) -> tuple[Session, User] | None:
        session = await self._store.people.session(PLATFORM, id)
        now = self._clock.now()
        if session is None or session.revoked_us is not None or now >= min(session.idle_expires_us, session.expires_us):
            return None
        user = await self._store.people.get_user(PLATFORM, session.user)
        return (session, user) if user is not None and user.status == "active" else None

    def _pair(self, session: Session, user: User, generation: int) -> TokenPair:
        now = self._clock.now() // SECOND_US
        claims = {"sid": session.id, "sub": user.id, "iat": now}
        access = claims | {"aud": "gateway-api", "exp": now + ACCESS_US // SECOND_US}
        refresh = claims | {"aud": "gateway-refresh", "exp": session.expires_us // SECOND_US, "gen": generation}
        return TokenPair(
            jwt.encode(access, self._access, algorithm="HS256"),
            jwt.encode(refresh, self._refresh, algorithm="HS256"),
            user,
        )

    def _claims(self, token: str, key: bytes, audience: str) -> dict[str, int] | None:
        """The claims of a genuine token. Expiry is judged by our clock, not by PyJWT's."""
        if len(token) > MAX_TOKEN:
            return None
        required = {"require": ["exp", "iat", "sid", "sub"], "verify_exp": False, "verify_iat": False}
        try:
            claims: dict[str, int] = jwt.decode(token, key, algorithms=["HS256"], audience=audience, options=required)  # type: ignore[arg-type]
        except jwt.InvalidTokenError:
            return None
        return claims if isinstance(claims["exp"], int) and isinstance(claims["sid"], str) else None


def _derive(secret: bytes, purpose: str) -> bytes:
    return hmac.new(secret, f"gateway api {purpose}".encode(), hashlib.sha256).digest()
