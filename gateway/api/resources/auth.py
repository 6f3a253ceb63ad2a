"""Coming and going: register, verify, log in, refresh, log out, forgotten passwords."""

import hashlib
from typing import Literal

from pydantic import Field

from gateway.accounts.api_sessions import ACCESS_US, TokenPair
from gateway.api.operation import Anyone, Call, LoggedIn, Operation, Reply
from gateway.api.problems import ApiError
from gateway.api.resources.views import UserView
from gateway.api.values import Accepted, Email, Model, Name, OneTimeToken, Password, Time, time_text
from gateway.clock import SECOND_US


class RegisterRequest(Model):
    """A new organisation and its owner. ``invitation`` is the token of an invitation, where one is needed."""

    organisation: Name
    name: Name
    email: Email
    password: Password
    invitation: OneTimeToken | None = None


class LoginRequest(Model):
    """What proves who somebody is."""

    email: str = Field(max_length=254)
    password: str = Field(max_length=256)


class RefreshRequest(Model):
    """The newest refresh token of the session."""

    refresh_token: str = Field(max_length=1024)


class TokenRequest(Model):
    """The token of a link."""

    token: OneTimeToken


class ForgotRequest(Model):
    """Whose password is forgotten."""

    email: Email


class ResetRequest(Model):
    """The token of the link, and the new password."""

    token: OneTimeToken
    password: Password


class JoinRequest(Model):
    """The token of an invitation, and who joins."""

    token: OneTimeToken
    name: Name
    password: Password


class Session(Model):
    """A session: ``access_token`` goes as Bearer, ``refresh_token`` gets the next pair, once."""

    access_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105
    expires_in: int
    refresh_token: str
    user: UserView


class Me(Model):
    """Who asks, by what, and until when."""

    user: UserView
    by: Literal["session", "token"]
    scopes: list[str] | None
    expires_at: Time | None


async def register(call: Call) -> Reply:
    given = call.body(RegisterRequest)
    _slow_down(call, "")
    await call.services.registration.register(
        given.organisation, given.name, given.email, given.password, given.invitation or ""
    )
    return Reply(Accepted())


async def verify(call: Call) -> Reply:
    _slow_down(call, "")
    return Reply(UserView.of(await call.services.registration.verify(call.body(TokenRequest).token)))


async def log_in(call: Call) -> Reply:
    given, services = call.body(LoginRequest), call.services
    account = _slow_down(call, given.email)
    user = await services.accounts.prove(given.email, given.password)
    if user is None:
        raise ApiError("invalid_credentials")
    services.throttle.succeeded(account)
    return Reply(_session(await services.sessions.open(user, call.address)))


async def refresh(call: Call) -> Reply:
    pair = await call.services.sessions.refresh(call.body(RefreshRequest).refresh_token)
    if pair is None:
        raise ApiError("invalid_credentials", "The refresh token is used, too old or not ours: log in again.")
    return Reply(_session(pair))


async def log_out(call: Call) -> Reply:
    if call.actor is not None and call.actor.session is not None:
        await call.services.sessions.end(call.actor.session)
    return Reply()


async def me(call: Call) -> Reply:
    actor = call.actor
    assert actor is not None
    token = actor.token
    ends = token.expires_us if token else actor.session.expires_us if actor.session else None
    return Reply(
        Me(
            user=UserView.of(actor.user),
            by="token" if token else "session",
            scopes=list(token.scopes) if token else None,
            expires_at=time_text(ends) if ends is not None else None,
        )
    )


async def forgot(call: Call) -> Reply:
    given = call.body(ForgotRequest)
    _slow_down(call, f"forgot {given.email}")
    call.services.registration.forgot(given.email)
    return Reply(Accepted())


async def reset(call: Call) -> Reply:
    _slow_down(call, "")
    given = call.body(ResetRequest)
    return Reply(UserView.of(await call.services.registration.reset(given.token, given.password)))


async def join(call: Call) -> Reply:
    _slow_down(call, "")
    given = call.body(JoinRequest)
    return Reply(UserView.of(await call.services.team.accept(given.token, given.name, given.password)))


def _slow_down(call: Call, account: str) -> str:
    """Guessing is slowed per account and per address, the same for accounts that do not exist."""
    key = hashlib.sha256((account.strip().lower() or f"from {call.address}").encode("utf-8", "replace")).hexdigest()
    throttle = call.services.throttle
    wait_us = (
        throttle.admit(key, call.address, call.now_us) if account else throttle.admit_address(call.address, call.now_us)
    )
    if wait_us:
        raise ApiError("rate_limited", headers={"Retry-After": str(-(-wait_us // SECOND_US))})
    return key


def _session(pair: TokenPair) -> Session:
    return Session(
        access_token=pair.access,
        expires_in=ACCESS_US // SECOND_US,
        refresh_token=pair.refresh,
        user=UserView.of(pair.user),
    )


OPERATIONS = (
    Operation("register", "POST", "/auth/register", "Register an organisation and its owner", Anyone(), register,
              "auth", Accepted, 202, RegisterRequest, errors=("registration_closed", "link_expired")),
    Operation("verify", "POST", "/auth/verify", "Prove an e-mail address by the link's token", Anyone(), verify,
              "auth", UserView, 200, TokenRequest, errors=("link_expired",)),
    Operation("login", "POST", "/auth/login", "Log in", Anyone(), log_in,
              "auth", Session, 200, LoginRequest, errors=("invalid_credentials", "email_unverified")),
    Operation("refresh", "POST", "/auth/refresh", "Exchange the refresh token for a new pair", Anyone(), refresh,
              "auth", Session, 200, RefreshRequest, errors=("invalid_credentials",)),
    Operation("logout", "POST", "/auth/logout", "End the session", LoggedIn(by_token=False), log_out, "auth",
              None, 204),
    Operation("me", "GET", "/auth/me", "Who am I", LoggedIn(), me, "auth", Me),
    Operation("forgot", "POST", "/auth/reset", "Ask for a link that lets one choose a new password", Anyone(), forgot,
              "auth", Accepted, 202, ForgotRequest),
    Operation("reset", "POST", "/auth/reset/confirm", "Choose a new password by the link's token", Anyone(), reset,
              "auth", UserView, 200, ResetRequest, errors=("link_expired",)),
    Operation("join", "POST", "/auth/join", "Join a team by an invitation's token", Anyone(), join,
              "auth", UserView, 201, JoinRequest, errors=("link_expired", "already_exists")),
)  # fmt: skip
