"""Teams, invitations and personal tokens."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from gateway.accounts.tokens import SCOPES, lives
from gateway.api.operation import Allowed, Call, LoggedIn, Operation, Reply
from gateway.api.resources.views import UserView
from gateway.api.values import (
    BY_ID,
    Email,
    GivenTime,
    Listed,
    Model,
    Name,
    PageQuery,
    Time,
    page_of,
    time_or_none,
    time_text,
)
from gateway.storage.account_values import Invitation, PersonalToken
from gateway.storage.values import Role


class UserList(Listed[UserView]):
    """A team."""


class UserChange(Model):
    """What changes; the rest stays."""

    role: Role | None = None
    status: Literal["active", "disabled"] | None = None


class InvitationRequest(Model):
    """Whom to invite, as what."""

    email: Email
    role: Role


class InvitationView(Model):
    """An invitation. Its token is in the message only."""

    id: str
    email: str
    role: Role
    tenant: str | None
    status: Literal["open", "accepted", "revoked", "expired"]
    invited_by: str
    created_at: Time
    expires_at: Time

    @classmethod
    def of(cls, one: Invitation, now_us: int) -> "InvitationView":
        status: Literal["open", "accepted", "revoked", "expired"] = "expired" if one.expires_us <= now_us else "open"
        if one.accepted_us is not None or one.revoked_us is not None:
            status = "accepted" if one.accepted_us is not None else "revoked"
        return cls(
            id=one.id, email=one.email, role=one.role, tenant=one.tenant, status=status, invited_by=one.invited_by,
            created_at=time_text(one.created_us), expires_at=time_text(one.expires_us),
        )  # fmt: skip


class InvitationList(Listed[InvitationView]):
    """Invitations, newest first."""


def _known(scope: str) -> str:
    if scope not in SCOPES:
        raise ValueError(f"is not a scope; known are {', '.join(SCOPES)}")
    return scope


TokenScope = Annotated[str, AfterValidator(_known), Field(json_schema_extra={"enum": list(SCOPES)})]


class TokenMake(Model):
    """A token's name, what it may do at most, and when it ends (null: never)."""

    name: Name
    scopes: list[TokenScope] = Field(min_length=1, max_length=len(SCOPES))
    expires_at: GivenTime | None = None


class TokenView(Model):
    """A personal token, without its text."""

    id: str
    name: str
    hint: str
    scopes: list[str]
    status: Literal["active", "expired", "revoked"]
    created_at: Time
    expires_at: Time | None
    last_used_at: Time | None

    @classmethod
    def of(cls, one: PersonalToken, now_us: int) -> "TokenView":
        status: Literal["active", "expired", "revoked"] = "active" if lives(one, now_us) else "expired"
        return cls(
            id=one.id, name=one.name, hint=one.hint, scopes=list(one.scopes),
            status="revoked" if one.revoked_us is not None else status, created_at=time_text(one.created_us),
            expires_at=time_or_none(one.expires_us), last_used_at=time_or_none(one.last_used_us),
        )  # fmt: skip


class NewToken(Model):
    """A token just made; ``secret`` is shown this once."""

    token: TokenView
    secret: str


class TokenList(Listed[TokenView]):
    """A person's tokens, newest first."""


async def list_users(call: Call) -> Reply:
    rows, more = page_of(await call.services.team.people(call.scope.tenant), call.query(PageQuery), BY_ID)
    return Reply(UserList(data=[UserView.of(one) for one in rows], next=more))


async def get_user(call: Call) -> Reply:
    return Reply(UserView.of(await call.services.team.person(call.scope.tenant, call.params["user"])))


async def change_user(call: Call) -> Reply:
    given = call.body(UserChange)
    active = None if given.status is None else given.status == "active"
    user = await call.services.team.change(
        call.user, call.scope.tenant, call.params["user"], role=given.role, active=active
    )
    return Reply(UserView.of(user))


async def list_invitations(call: Call) -> Reply:
    rows, more = page_of(await call.services.team.invitations(call.scope.tenant), call.query(PageQuery), BY_ID)
    return Reply(InvitationList(data=[InvitationView.of(one, call.now_us) for one in rows], next=more))


async def invite(call: Call) -> Reply:
    given = call.body(InvitationRequest)
    made = await call.services.team.invite(call.user, call.tenant_or_none, given.email, given.role)
    return Reply(InvitationView.of(made, call.now_us))


async def withdraw(call: Call) -> Reply:
    await call.services.team.withdraw(call.user, call.scope.tenant, call.params["invitation"])
    return Reply()


async def list_tokens(call: Call) -> Reply:
    rows, more = page_of(await call.services.tokens.list(call.user), call.query(PageQuery), BY_ID)
    return Reply(TokenList(data=[TokenView.of(one, call.now_us) for one in rows], next=more))


async def create_token(call: Call) -> Reply:
    given = call.body(TokenMake)
    scopes = tuple(dict.fromkeys(given.scopes))
    text, token = await call.services.tokens.create(call.user, given.name, scopes, given.expires_at)
    return Reply(NewToken(token=TokenView.of(token, call.now_us), secret=text))


async def revoke_token(call: Call) -> Reply:
    await call.services.tokens.revoke(call.user, call.params["token"])
    return Reply()


_READ, _WRITE = Allowed("team", "read", "either"), Allowed("team", "write", "either")

OPERATIONS = (
    Operation("listUsers", "GET", "/users", "The team: a tenant's, or the platform's own", _READ, list_users,
              "people", UserList, query=PageQuery),
    Operation("getUser", "GET", "/users/{user}", "One person", _READ, get_user, "people", UserView),
    Operation("changeUser", "PATCH", "/users/{user}", "Give a person another role, or let them in no longer", _WRITE,
              change_user, "people", UserView, request=UserChange, errors=("conflict", "last_owner")),
    Operation("listInvitations", "GET", "/invitations", "Invitations, newest first", _READ, list_invitations,
              "people", InvitationList, query=PageQuery),
    Operation("invite", "POST", "/invitations", "Invite somebody by mail", _WRITE, invite, "people", InvitationView,
              201, InvitationRequest, errors=("tenant_closed",)),
    Operation("withdrawInvitation", "DELETE", "/invitations/{invitation}", "Withdraw an invitation", _WRITE, withdraw,
              "people", None, 204, errors=("conflict",)),
    Operation("listTokens", "GET", "/tokens", "My personal tokens, newest first", LoggedIn(by_token=False), list_tokens,
              "people", TokenList, query=PageQuery),
    Operation("createToken", "POST", "/tokens", "Make a personal token", LoggedIn(by_token=False), create_token,
              "people", NewToken, 201, TokenMake, errors=("conflict",)),
    Operation("revokeToken", "DELETE", "/tokens/{token}", "End a personal token", LoggedIn(by_token=False),
              revoke_token, "people", None, 204),
)  # fmt: skip
