"""One operation of the API, declared once: routing, permission, validation and OpenAPI all come from this."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from aiohttp import web
from pydantic import BaseModel

from gateway.api.problems import NOT_FOUND, ApiError
from gateway.api.services import ApiServices
from gateway.storage.account_values import PersonalToken
from gateway.storage.ports import PLATFORM, Scope
from gateway.storage.values import AuditEntry, Session, User
from gateway.tenants.model import Principal, Tenant
from gateway.tenants.permissions import Access, Area

M = TypeVar("M", bound=BaseModel)
Method = Literal["GET", "POST", "PATCH", "PUT", "DELETE"]

Reach = Literal[
    "platform",  # the platform's affairs: tenants' people have nothing there
    "tenant",  # a tenant's: its people's own, or the one that X-Tenant-Id names
    "either",  # a tenant's, or without X-Tenant-Id the whole platform's
    "named",  # of the tenant in the path
]


@dataclass(frozen=True, slots=True)
class Anyone:
    """No credential is asked for."""


@dataclass(frozen=True, slots=True)
class SelfKey:
    """A tenant's key, and nothing else."""


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """Any person, about their own account. ``by_token``: also with a personal token."""

    by_token: bool = True


@dataclass(frozen=True, slots=True)
class Allowed:
    """A person whose role allows ``access`` in ``area``; ``or_access`` is a lesser right that the handler narrows."""

    area: Area
    access: Access
    reach: Reach = "tenant"
    or_access: Access | None = None


Permission = Anyone | SelfKey | LoggedIn | Allowed


@dataclass(frozen=True, slots=True)
class Actor:
    """The person behind a request, by a session or by a personal token."""

    user: User
    session: Session | None = None
    token: PersonalToken | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """What an operation answers; ``raw`` is a body that is not JSON; its Content-Type is in ``headers``."""

    body: BaseModel | None = None
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    raw: bytes | None = None


@dataclass(slots=True)
class Call:
    """One request to one operation, once it may and is well-formed."""

    services: ApiServices
    request: web.Request
    address: str
    params: dict[str, str]
    actor: Actor | None = None
    principal: Principal | None = None
    tenant_or_none: Tenant | None = None
    query_model: BaseModel | None = None
    body_model: BaseModel | None = None
    raw: bytes = b""

    @property
    def now_us(self) -> int:
        return self.services.clock.now()

    @property
    def user(self) -> User:
        """The person who asks."""
        if self.actor is None:
            raise ApiError("unauthenticated")
        return self.actor.user

    @property
    def tenant(self) -> Tenant:
        """The tenant that this is about."""
        if self.tenant_or_none is None:
            raise NOT_FOUND
        return self.tenant_or_none

    @property
    def scope(self) -> Scope:
        """Whose rows may be touched."""
        return Scope(self.tenant_or_none.id) if self.tenant_or_none is not None else PLATFORM

    def query(self, model: type[M]) -> M:
        assert isinstance(self.query_model, model)
        return self.query_model

    def body(self, model: type[M]) -> M:
        assert isinstance(self.body_model, model)
        return self.body_model

    async def audit(self, action: str, target: str, detail: dict[str, str] | None = None) -> None:
        """Note who did what to whose."""
        entry = AuditEntry(self.now_us, self.user.id, action, target, self.scope.tenant, detail or {})
        await self.services.store.audit.append(self.scope, entry)


Handler = Callable[[Call], Awaitable[Reply]]


@dataclass(frozen=True, slots=True)
class Operation:
    """``name`` is the operationId. ``errors`` are the codes beyond those that follow from the declaration itself."""

    name: str
    method: Method
    path: str
    summary: str
    permission: Permission
    handler: Handler
    tag: str
    response: type[BaseModel] | None = None
    status: int = 200
    request: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    errors: tuple[str, ...] = ()
    media_types: tuple[str, ...] = ("application/json",)
    produces: str = "application/json"
    max_body: int = 64 * 1024
    raw_body: bool = False

    @property
    def codes(self) -> tuple[str, ...]:
        """Every code that the operation may answer."""
        codes = ["rate_limited", "internal", "unavailable", "malformed", *self.errors]
        if self.permission != Anyone():
            codes += ["unauthenticated"]
        if isinstance(self.permission, LoggedIn):
            codes += ["forbidden"]
        if isinstance(self.permission, Allowed):
            codes += ["forbidden", "insufficient_scope", "tenant_header_forbidden", "not_found"]
            if self.permission.reach == "tenant":
                codes += ["tenant_required"]
        if self.request is not None or self.raw_body:
            codes += ["too_large", "unsupported_media_type", "invalid"]
        if self.query is not None:
            codes += ["invalid"]
        if "{" in self.path:
            codes += ["not_found"]
        if self.method in ("PATCH", "PUT", "DELETE"):
            codes += ["precondition_failed"]
        if self.keeps_answers:
            codes += ["idempotency_in_progress", "idempotency_mismatch"]
        return tuple(dict.fromkeys(codes))

    @property
    def changes(self) -> bool:
        """Whether it is done in one transaction. Events have their own; open operations hash passwords."""
        return self.method != "GET" and not isinstance(self.permission, Anyone | SelfKey) and not self.raw_body

    @property
    def keeps_answers(self) -> bool:
        """Whether an Idempotency-Key is honoured."""
        return self.method == "POST" and self.changes
