"""What the ``keys`` commands do, on an open store."""

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from gateway.clock import SystemClock
from gateway.config.snapshot import Snapshot
from gateway.config.units import parse_duration
from gateway.errors import GatewayError
from gateway.period import from_us, to_us
from gateway.runtime import data_dir
from gateway.storage.ports import PLATFORM, Scope
from gateway.storage.store import Store, open_store
from gateway.tenants.credentials import MintedKey, mint
from gateway.tenants.key_file import ImportedKey
from gateway.tenants.model import Key


class KeyDesk:
    """Keys over the configuration and the store. ``sequence`` is that of the last change made here."""

    def __init__(self, snapshot: Snapshot, store: Store) -> None:
        self._snapshot = snapshot
        self._store = store
        self._clock = SystemClock()
        self.sequence = 0

    @classmethod
    @asynccontextmanager
    async def open(cls, snapshot: Snapshot) -> "AsyncIterator[KeyDesk]":
        """Open the store, made when it is not there yet: keys may be made before the first start."""
        data_dir.prepare(snapshot.data_dir)
        store = await open_store(snapshot.store_url, snapshot.folder)
        try:
            yield cls(snapshot, store)
        finally:
            await store.close()

    async def create(
        self, tenant: str, name: str, expires_us: int | None, scopes: tuple[str, ...]
    ) -> tuple[MintedKey, Key]:
        """Mint and store a key; raises ``GatewayError`` when there is no such tenant, or it is closed."""
        await self._require(tenant)
        now = self._clock.now()
        minted = mint(now)
        key = Key(
            minted.id, tenant, minted.hash, name or "key", scopes, now, expires_us, source="store", hint=minted.hint
        )
        self.sequence = await self._store.keys.create(PLATFORM, key)
        return minted, key

    async def rotate(self, id: str, tenant: str | None, *, keep_old: bool) -> tuple[MintedKey, Key]:
        """A new key with the old one's tenant, name, scopes and expiry; the old one ends unless kept."""
        old = await self._find(id, tenant)
        if old.revoked_us is not None:
            raise GatewayError(f"key {id} is revoked; make a new one with gateway keys create {old.tenant}")
        if old.expires_us is not None and old.expires_us <= self._clock.now():
            raise GatewayError(f"key {id} has expired; make a new one with gateway keys create {old.tenant}")
        created = await self.create(old.tenant, old.name, old.expires_us, old.scopes)
        if not keep_old:
            await self._revoke(old)
        return created

    async def revoke(self, id: str, tenant: str | None) -> None:
        """End a key; one that has ended already stays as it is."""
        await self._revoke(await self._find(id, tenant))

    async def import_rows(self, rows: Sequence[ImportedKey], file: str) -> tuple[int, int]:
        """Store the keys of a file: how many are new, and how many the tenant had already.

        Nothing is stored when a tenant is missing or a key belongs to somebody else.
        """
        for tenant in dict.fromkeys(row.tenant for row in rows):
            await self._require(tenant)
        state = await self._store.changes.load_state(PLATFORM)
        taken = {key.hash: key for key in (*state.keys, *self._snapshot.keys) if key.revoked_us is None}
        for row in rows:
            owner = taken.get(row.hash)
            if owner is not None and owner.tenant != row.tenant:
                raise GatewayError(f"{file}:{row.line}: this key belongs to tenant {owner.tenant}")
        fresh = [row for row in rows if row.hash not in taken]
        for row in fresh:
            now = self._clock.now()
            key = Key(mint(now).id, row.tenant, row.hash, row.name, row.scopes, now, source="store", hint=row.hint)
            self.sequence = await self._store.keys.create(PLATFORM, key)
        return len(fresh), len(rows) - len(fresh)

    async def rows(self, tenant: str | None) -> list[dict[str, str]]:
        """Every key, or one tenant's, as ``list`` shows it; newest first within a tenant."""
        if tenant is not None:
            await self._require(tenant, closed=True)
        state = await self._store.changes.load_state(PLATFORM)
        listed = {(key.tenant, key.id) for key in self._snapshot.keys}
        known = [*self._snapshot.keys, *(key for key in state.keys if (key.tenant, key.id) not in listed)]
        shown = [key for key in known if tenant in (None, key.tenant)]
        shown.sort(key=lambda key: (key.tenant, -key.created_us, key.id))
        used: dict[tuple[str, str], int] = {}
        for owner in {key.tenant for key in shown}:
            for id, moment in (await self._store.keys.last_used(PLATFORM, owner)).items():
                used[owner, id] = moment
        return [_row(key, used.get((key.tenant, key.id)), self._clock.now()) for key in shown]

    async def _require(self, tenant: str, *, closed: bool = False) -> None:
        row = await self._store.tenants.get(PLATFORM, tenant)
        if row is None and tenant in self._snapshot.tenants:
            tenants, keys = list(self._snapshot.tenants.values()), self._snapshot.keys
            await self._store.tenants.sync_yaml(PLATFORM, tenants, keys, self._clock.now())
            return
        if row is None:
            known = ", ".join(sorted(self._snapshot.tenants)[:12])
            raise GatewayError(f"there is no tenant {tenant}" + (f"; the configuration has {known}" if known else ""))
        if row.status == "closed" and tenant not in self._snapshot.tenants and not closed:
            raise GatewayError(f"tenant {tenant} is closed")

    async def _find(self, id: str, tenant: str | None) -> Key:
        own = [key for key in self._snapshot.keys if key.id == id and tenant in (None, key.tenant)]
        if own:  # SEMANTICS §32: the YAML owns the keys that it lists
            raise GatewayError(
                f"key {id} is managed by the configuration: change tenants.{own[0].tenant}.keys there and save"
            )
        state = await self._store.changes.load_state(PLATFORM)
        found = [key for key in state.keys if key.id == id and tenant in (None, key.tenant)]
        if not found:
            raise GatewayError(f"there is no key {id}; gateway keys list shows all")
        if len(found) > 1:
            raise GatewayError(f"several tenants have a key {id}; name one with --tenant")
        return found[0]

    async def _revoke(self, key: Key) -> None:
        sequence = await self._store.keys.revoke(Scope(key.tenant), key.id, self._clock.now())
        if sequence is None:
            raise GatewayError(f"there is no key {key.id}")
        self.sequence = sequence


def _row(key: Key, used_us: int | None, now_us: int) -> dict[str, str]:
    ended = key.expires_us is not None and key.expires_us <= now_us
    return {
        "id": key.id,
        "tenant": key.tenant,
        "name": key.name,
        "key": key.hint,
        "scopes": " ".join(key.scopes),
        "created": _time(key.created_us or None),
        "expires": _time(key.expires_us),
        "last_used": _time(used_us),
        "status": "revoked" if key.revoked_us is not None else "expired" if ended else "active",
        "source": "configuration" if key.source == "yaml" else "store",
    }


def _time(us: int | None) -> str:
    return from_us(us).strftime("%Y-%m-%dT%H:%M:%SZ") if us is not None else ""


def parse_scopes(text: str) -> tuple[str, ...]:
    """Scopes separated by commas or spaces; raises ``ValueError``."""
    names = tuple(dict.fromkeys(text.replace(",", " ").split()))
    for name in names:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}", name, re.ASCII):
            raise ValueError(f'--scopes: "{name}" is no scope')
    return names


def parse_expiry(text: str) -> int | None:
    """The instant of ``2030-01-31`` (its midnight, UTC), an RFC 3339 time or a duration from now; empty: never."""
    if not text:
        return None
    try:
        return SystemClock().now() + parse_duration(text)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f'--expires: expected a date or a duration such as "90d", found "{text}"') from None
    expires_us = to_us(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    if expires_us <= SystemClock().now():
        raise ValueError("--expires is in the past")
    return expires_us


def yaml_lines(name: str, expires: str, scopes: tuple[str, ...]) -> tuple[str, str]:
    """A new key, and the entry for a tenant's ``keys`` that lets it in."""
    minted = mint(SystemClock().now())
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40]
    identity = f"{slug or 'k'}-{minted.id[-6:]}"
    fields = [f"id: {identity}", f'hash: "sha256:{minted.hash.hex()}"']
    if name:
        quoted = name.replace("\\", "\\\\").replace('"', '\\"')
        fields.append(f'name: "{quoted}"')
    if scopes:
        fields.append(f"scopes: [{', '.join(scopes)}]")
    if expires:
        moment = parse_expiry(expires)
        assert moment is not None
        fields.append(f'expires: "{from_us(moment).date().isoformat()}"')
    return minted.text, f"- {{{', '.join(fields)}}}"
