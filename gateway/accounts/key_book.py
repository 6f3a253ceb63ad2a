"""A tenant's keys: make, change, rotate with an overlap, revoke. The rules that pages, API and commands share."""

from collections.abc import Awaitable, Callable, Sequence

import msgspec

from gateway.accounts.refused import Refused, managed_by_config, not_there
from gateway.clock import DAY_US, Clock
from gateway.storage.ports import Scope
from gateway.storage.store import Store
from gateway.storage.values import AuditEntry
from gateway.tenants.credentials import MintedKey, mint
from gateway.tenants.model import Key, Tenant

MAX_KEYS = 1000
MAX_OVERLAP_US = 30 * DAY_US

Applied = Callable[[int], Awaitable[bool]]
"""Wait until every local worker has applied a change sequence; False when one is late (SEMANTICS §31)."""
OwnerFile = Callable[[tuple[str, ...]], str]
"""The file and line of a field of the configuration."""


class KeyBook:
    """The operations. Each returns when the workers serve by it, or are late by two seconds."""

    def __init__(self, store: Store, clock: Clock, applied: Applied, owner_file: OwnerFile) -> None:
        self._store = store
        self._clock = clock
        self._applied = applied
        self._owner_file = owner_file

    async def list(self, tenant: Tenant) -> tuple[list[Key], dict[str, int]]:
        """All keys, newest first, and when each was last used."""
        scope = Scope(tenant.id)
        return await self._store.keys.list(scope, tenant.id), await self._store.keys.last_used(scope, tenant.id)

    async def get(self, tenant: Tenant, id: str) -> Key:
        """One key of the tenant; raises ``Refused``."""
        found = next((key for key in await self._store.keys.list(Scope(tenant.id), tenant.id) if key.id == id), None)
        if found is None:
            raise not_there("key")
        return found

    async def create(
        self,
        tenant: Tenant,
        actor: str,
        *,
        name: str,
        scopes: Sequence[str] = (),
        addresses: Sequence[str] = (),
        expires_us: int | None = None,
    ) -> tuple[MintedKey, Key]:
        """A new key; its text is kept nowhere."""
        now = self._open(tenant)
        self._future(expires_us, now)
        known = await self._store.keys.list(Scope(tenant.id), tenant.id)
        if sum(lives(key, now) for key in known) >= MAX_KEYS:
            raise Refused("conflict", f"At most {MAX_KEYS} keys at a time: revoke one first.")
        minted = mint(now)
        key = Key(
            minted.id, tenant.id, minted.hash, name, tuple(scopes), now, expires_us, source="store", hint=minted.hint,
            addresses=tuple(addresses), created_by=actor,
        )  # fmt: skip
        sequence = await self._store.keys.create(Scope(tenant.id), key)
        await self._done(sequence, actor, "key.created", key, {"name": name})
        return minted, key

    async def change(self, tenant: Tenant, actor: str, id: str, **fields: object) -> Key:
        """Another name, other scopes, networks or end (``name``, ``scopes``, ``addresses``, ``expires_us``)."""
        now = self._open(tenant)
        key = await self._living(tenant, id, now)
        ends = fields.get("expires_us")
        self._future(ends if isinstance(ends, int) else None, now)
        changed = msgspec.structs.replace(key, **fields)
        sequence = await self._store.keys.change(Scope(tenant.id), changed)
        if sequence is None:
            raise not_there("key")
        await self._done(sequence, actor, "key.changed", key, {name: str(value) for name, value in fields.items()})
        return changed

    async def rotate(self, tenant: Tenant, actor: str, id: str, overlap_us: int) -> tuple[MintedKey, Key]:
        """A key with the same name, scopes, networks and end; the old one works on for ``overlap_us`` at most."""
        now = self._open(tenant)
        if not 0 <= overlap_us <= MAX_OVERLAP_US:
            raise Refused("invalid", "The overlap is 0 to 30 days.", "overlap_seconds")
        old = await self._living(tenant, id, now)
        minted = mint(now)
        new = msgspec.structs.replace(
            old, id=minted.id, hash=minted.hash, hint=minted.hint, created_us=now, created_by=actor
        )
        end = now + overlap_us
        ended = msgspec.structs.replace(old, expires_us=min(old.expires_us or end, end))
        sequence = await self._store.keys.change(Scope(tenant.id), ended, new)
        if sequence is None:
            raise not_there("key")
        await self._done(sequence, actor, "key.rotated", old, {"to": new.id, "overlap_s": str(overlap_us // 1_000_000)})
        return minted, new

    async def revoke(self, tenant: Tenant, actor: str, id: str) -> None:
        """End a key at once; one that has ended stays as it is."""
        key = await self.get(tenant, id)
        self._own(key)
        sequence = await self._store.keys.revoke(Scope(tenant.id), id, self._clock.now())
        if sequence is None:
            raise not_there("key")
        if key.revoked_us is None:
            await self._done(sequence, actor, "key.revoked", key, {})

    async def _living(self, tenant: Tenant, id: str, now: int) -> Key:
        key = await self.get(tenant, id)
        self._own(key)
        if not lives(key, now):
            raise Refused("key_ended", "This key is revoked or expired: make a new one.")
        return key

    def _own(self, key: Key) -> None:
        if key.source == "yaml":
            raise managed_by_config(f"Key {key.id}", self._owner_file(("tenants", key.tenant, "keys")))

    def _open(self, tenant: Tenant) -> int:
        if tenant.status == "closed":
            raise Refused("tenant_closed", "This organisation is closed.")
        return self._clock.now()

    def _future(self, expires_us: int | None, now: int) -> None:
        if expires_us is not None and expires_us <= now:
            raise Refused("invalid", "The end must lie in the future.", "expires_at")

    async def _done(self, sequence: int, actor: str, action: str, key: Key, detail: dict[str, str]) -> None:
        entry = AuditEntry(self._clock.now(), actor, action, key.id, key.tenant, detail)
        await self._store.audit.append(Scope(key.tenant), entry)
        await self._applied(sequence)


def lives(key: Key, now_us: int) -> bool:
    """Neither revoked nor past its end."""
    ended = key.revoked_us is not None and key.revoked_us <= now_us
    return not ended and (key.expires_us is None or key.expires_us > now_us)
