"""Who may call, at this moment: the configuration's tenants and keys with the store's laid over them.

Ownership is per field (SEMANTICS §32): the YAML owns the tenants and keys it lists, the store owns their status and
all others, and whether a key is revoked. A tenant that the store knows from an earlier YAML and that the present one
does not list is closed.
"""

from collections.abc import Iterable

import msgspec

from gateway.config.snapshot import Snapshot
from gateway.runtime.state_files import Delta
from gateway.tenants.model import Key, Principal, Tenant


class LiveState:
    """One configuration and the state over it; deltas change it in place. Keys are found by their 32-byte digest."""

    __slots__ = ("_found", "_keys", "_listed", "sequence", "snapshot", "tenants")

    def __init__(self, snapshot: Snapshot, sequence: int, tenants: Iterable[Tenant], keys: Iterable[Key]) -> None:
        self.snapshot = snapshot
        self.sequence = sequence
        self.tenants: dict[str, Tenant] = dict(snapshot.tenants)
        self._keys: dict[bytes, Key] = {key.hash: key for key in snapshot.keys}
        self._listed = {key.hash: key for key in snapshot.keys}
        self._found: dict[bytes, Principal] = {}  # those that called since something last changed
        self._lay_over(tenants, keys)

    def find(self, digest: bytes) -> Principal | None:
        """Whose key this is; None when it is nobody's. Expiry, revocation and status are for the caller to judge."""
        found = self._found.get(digest)
        return found if found is not None else self._look_up(digest)

    def _look_up(self, digest: bytes) -> Principal | None:
        key = self._keys.get(digest)
        tenant = self.tenants.get(key.tenant) if key is not None else None
        if key is None or tenant is None:
            return None
        found = self._found[digest] = Principal(tenant, key)
        return found

    @property
    def keys(self) -> Iterable[Key]:
        """Every key that can be found."""
        return self._keys.values()

    def apply(self, delta: Delta) -> None:
        """Take over what changed."""
        self._lay_over(delta.tenants, delta.keys)
        self.sequence = delta.sequence

    def _lay_over(self, tenants: Iterable[Tenant], keys: Iterable[Key]) -> None:
        self._found = {}
        for row in tenants:
            self.tenants[row.id] = self._effective(row)
        listed = self.snapshot.tenants
        for key in keys:
            own = self._listed.get(key.hash)
            if own is not None:
                if (own.tenant, own.id) == (key.tenant, key.id):
                    self._keys[key.hash] = _revoked_as(own, key.revoked_us)
            elif key.source != "yaml":
                self._keys[key.hash] = key
            elif key.tenant not in listed:
                # Its tenant is closed: the answer is 403, not that the key is unknown.
                self._keys[key.hash] = _revoked_as(key, None)

    def _effective(self, row: Tenant) -> Tenant:
        own = self.snapshot.tenants.get(row.id)
        if own is not None:
            return own if row.status == own.status else msgspec.structs.replace(own, status=row.status)
        if row.source == "yaml" and row.status != "closed":
            return msgspec.structs.replace(row, status="closed")
        return row


def _revoked_as(key: Key, revoked_us: int | None) -> Key:
    return key if key.revoked_us == revoked_us else msgspec.structs.replace(key, revoked_us=revoked_us)
