"""A tenant's keys."""

from typing import Literal

from pydantic import Field

from gateway.accounts.key_book import MAX_OVERLAP_US, lives
from gateway.api.operation import Allowed, Call, Operation, Reply
from gateway.api.problems import ApiError
from gateway.api.values import (
    BY_ID,
    GivenTime,
    Listed,
    Model,
    Name,
    Network,
    PageQuery,
    Scope,
    Time,
    page_of,
    time_or_none,
)
from gateway.clock import SECOND_US
from gateway.tenants.model import Key
from gateway.tenants.permissions import allows


class KeyMake(Model):
    """A new key. ``addresses`` are the networks that may use it (empty: any); ``expires_at`` null: it never ends."""

    name: Name
    scopes: list[Scope] = Field([], max_length=32)
    addresses: list[Network] = Field([], max_length=64)
    expires_at: GivenTime | None = None


class KeyChange(Model):
    """What changes; the rest stays. ``expires_at`` null: it never ends."""

    name: Name = ""
    scopes: list[Scope] = Field([], max_length=32)
    addresses: list[Network] = Field([], max_length=64)
    expires_at: GivenTime | None = None


class RotateRequest(Model):
    """How long the old key works on."""

    overlap_seconds: int = Field(0, ge=0, le=MAX_OVERLAP_US // SECOND_US)


class KeyView(Model):
    """A key, without its text. ``source`` says who owns it: the store, or the configuration files."""

    id: str
    tenant: str
    name: str
    hint: str
    scopes: list[str]
    addresses: list[str]
    status: Literal["active", "expired", "revoked"]
    source: Literal["yaml", "store"]
    created_at: Time | None
    created_by: str | None
    expires_at: Time | None
    revoked_at: Time | None
    last_used_at: Time | None

    @classmethod
    def of(cls, key: Key, now_us: int, used_us: int | None = None) -> "KeyView":
        ended: Literal["expired", "revoked"] = "expired" if key.revoked_us is None else "revoked"
        return cls(
            id=key.id, tenant=key.tenant, name=key.name, hint=key.hint, scopes=list(key.scopes),
            addresses=list(key.addresses), status="active" if lives(key, now_us) else ended, source=key.source,
            created_at=time_or_none(key.created_us or None), created_by=key.created_by or None,
            expires_at=time_or_none(key.expires_us), revoked_at=time_or_none(key.revoked_us),
            last_used_at=time_or_none(used_us),
        )  # fmt: skip


class NewKey(Model):
    """A key just made; ``secret`` is shown this once."""

    key: KeyView
    secret: str


class KeyList(Listed[KeyView]):
    """A tenant's keys, newest first."""


async def list_keys(call: Call) -> Reply:
    keys, used = await call.services.keys.list(call.tenant)
    rows, more = page_of(keys, call.query(PageQuery), BY_ID)
    return Reply(KeyList(data=[KeyView.of(key, call.now_us, used.get(key.id)) for key in rows], next=more))


async def get_key(call: Call) -> Reply:
    key = await call.services.keys.get(call.tenant, call.params["key"])
    _, used = await call.services.keys.list(call.tenant)
    return Reply(KeyView.of(key, call.now_us, used.get(key.id)))


async def create_key(call: Call) -> Reply:
    given = call.body(KeyMake)
    minted, key = await call.services.keys.create(
        call.tenant, call.user.id, name=given.name, scopes=given.scopes, addresses=given.addresses,
        expires_us=given.expires_at,
    )  # fmt: skip
    return Reply(NewKey(key=KeyView.of(key, call.now_us), secret=minted.text))


async def change_key(call: Call) -> Reply:
    given = call.body(KeyChange)
    await _own(call)
    names = {"name": "name", "scopes": "scopes", "addresses": "addresses", "expires_at": "expires_us"}
    fields = {names[field]: getattr(given, field) for field in given.model_fields_set}
    fields |= {name: tuple(fields[name]) for name in ("scopes", "addresses") if name in fields}
    key = await call.services.keys.change(call.tenant, call.user.id, call.params["key"], **fields)
    return Reply(KeyView.of(key, call.now_us))


async def rotate_key(call: Call) -> Reply:
    await _own(call)
    overlap_us = call.body(RotateRequest).overlap_seconds * SECOND_US
    minted, key = await call.services.keys.rotate(call.tenant, call.user.id, call.params["key"], overlap_us)
    return Reply(NewKey(key=KeyView.of(key, call.now_us), secret=minted.text))


async def revoke_key(call: Call) -> Reply:
    await _own(call)
    await call.services.keys.revoke(call.tenant, call.user.id, call.params["key"])
    return Reply()


async def _own(call: Call) -> None:
    """Who may only make keys may change those that they made."""
    of_tenant = call.user.tenant is not None
    key = await call.services.keys.get(call.tenant, call.params["key"])
    if not allows(call.user.role, of_tenant=of_tenant, area="keys", access="write") and key.created_by != call.user.id:
        raise ApiError("forbidden", "Members change the keys that they made themselves.")


_READ = Allowed("keys", "read")
_WRITE = Allowed("keys", "write", or_access="create_own")
_STATE = ("managed_by_config", "key_ended", "tenant_closed", "conflict", "invalid")

OPERATIONS = (
    Operation("listKeys", "GET", "/keys", "The tenant's keys, newest first", _READ, list_keys, "keys", KeyList,
              query=PageQuery),
    Operation("createKey", "POST", "/keys", "Make a key", _WRITE, create_key, "keys", NewKey, 201, KeyMake,
              errors=("tenant_closed", "conflict")),
    Operation("getKey", "GET", "/keys/{key}", "One key", _READ, get_key, "keys", KeyView),
    Operation("changeKey", "PATCH", "/keys/{key}", "Change a key's name, scopes, networks or end", _WRITE, change_key,
              "keys", KeyView, request=KeyChange, errors=_STATE),
    Operation("rotateKey", "POST", "/keys/{key}/rotate", "Replace a key; the old one works on for a while", _WRITE,
              rotate_key, "keys", NewKey, 201, RotateRequest, errors=_STATE),
    Operation("revokeKey", "DELETE", "/keys/{key}", "End a key at once", _WRITE, revoke_key, "keys", None, 204,
              errors=_STATE),
)  # fmt: skip
