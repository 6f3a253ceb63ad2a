"""Sessions of people: a signed cookie that names a row of the store, so that it can be revoked; and CSRF tokens.

The cookie is a JWT (HS256) with the session's id; idle and absolute expiry are the row's. The CSRF token is an HMAC of
the session's id: it dies with the session and cannot be used in another.
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass

import jwt

from gateway.accounts.ports import People
from gateway.clock import DAY_US, HOUR_US, MINUTE_US, SECOND_US, Clock
from gateway.storage.ports import PLATFORM
from gateway.storage.values import Session, User

COOKIE = "gw_session"
IDLE_US = 12 * HOUR_US
ABSOLUTE_US = 14 * DAY_US
TOUCH_US = MINUTE_US
_AUDIENCE = "gateway-ui"


@dataclass(frozen=True, slots=True)
class Visitor:
    """A person with a live session."""

    user: User
    session: Session


class Sessions:
    """Open, find and end sessions."""

    def __init__(self, people: People, clock: Clock, secret: bytes) -> None:
        self._people = people
        self._clock = clock
        self._signing = _derive(secret, "session")
        self._csrf = _derive(secret, "csrf")

    async def open(self, user: User, address: str) -> str:
        """A new session and the text of its cookie. The caller ends the one that the browser came with."""
        now = self._clock.now()
        session = Session(f"ses_{secrets.token_hex(16)}", user.id, now, now + IDLE_US, now + ABSOLUTE_US, None, address)
        await self._people.open_session(PLATFORM, session)
        claims = {"sid": session.id, "aud": _AUDIENCE, "iat": now // SECOND_US, "exp": session.expires_us // SECOND_US}
        return jwt.encode(claims, self._signing, algorithm="HS256")

    async def find(self, cookie: str) -> Visitor | None:
        """Who holds this cookie; None when it is forged, expired, idle too long or revoked, or its person disabled."""
        session_id = self.session_id(cookie)
        session = await self._people.session(PLATFORM, session_id) if session_id else None
        now = self._clock.now()
        if session is None or session.revoked_us is not None or now >= min(session.idle_expires_us, session.expires_us):
            return None
        user = await self._people.get_user(PLATFORM, session.user)
        if user is None or user.status != "active":
            return None
        if session.idle_expires_us - now < IDLE_US - TOUCH_US:
            await self._people.touch_session(PLATFORM, session.id, now + IDLE_US)
        return Visitor(user, session)

    def session_id(self, cookie: str) -> str | None:
        """The session that a genuine cookie names. Expiry is judged by our clock, on the row, not by PyJWT's."""
        if not cookie or len(cookie) > 1024:
            return None
        try:
            claims = jwt.decode(
                cookie,
                self._signing,
                algorithms=["HS256"],
                audience=_AUDIENCE,
                options={"require": ["exp", "iat", "sid"], "verify_exp": False, "verify_iat": False},
            )
        except jwt.InvalidTokenError:
            return None
        return claims["sid"] if isinstance(claims["sid"], str) else None

    async def living(self, user: User) -> list[Session]:
        """Where a person is logged in, newest first: browsers and programs."""
        return await self._people.sessions(PLATFORM, user.id, self._clock.now())

    async def end(self, session_id: str) -> None:
        """Revoke one session."""
        await self._people.revoke_session(PLATFORM, session_id, self._clock.now())

    def csrf_token(self, binding: str) -> str:
        """The token for forms of the session (or of the nonce cookie of a browser that has none)."""
        return hmac.new(self._csrf, binding.encode(), hashlib.sha256).hexdigest()

    def csrf_matches(self, binding: str, token: str) -> bool:
        """Compare in constant time."""
        return hmac.compare_digest(self.csrf_token(binding).encode(), token.encode("utf-8", "replace"))


def _derive(secret: bytes, purpose: str) -> bytes:
    """One key a purpose, so that a token of one kind is never valid as another."""
    return hmac.new(secret, f"gateway ui {purpose}".encode(), hashlib.sha256).digest()
