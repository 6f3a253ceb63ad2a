"""Tenants and keys: YAML's and the store's, and the changes that workers learn."""

import pytest

from gateway.storage.engine import Conflict
from gateway.storage.ports import PLATFORM, Scope
from gateway.storage.scoping import ScopeError
from gateway.storage.store import Store
from gateway.tenants.model import Key, Tenant

NOW = 1_800_000_000_000_000
ACME = Tenant(id="acme", name="Acme", plan="pro", limits={"monthly": {"max": 5}})
BETA = Tenant(id="beta", name="Beta", plan="free")


def key(id: str, tenant: str = "acme", hash: str = "", **fields: object) -> Key:
    return Key(id=id, tenant=tenant, hash=(hash or tenant + id).ljust(32).encode(), **fields)  # type: ignore[arg-type]


async def kinds_since(store: Store, sequence: int) -> list[tuple[str, str, str]]:
    return [(one.kind, one.tenant, one.id) for one in await store.changes.since(PLATFORM, sequence)]


async def test_yaml_is_taken_once_and_only_differences_are_changes(store: Store) -> None:
    first = await store.tenants.sync_yaml(PLATFORM, [ACME, BETA], [key("k1"), key("k1", "beta")], NOW)
    assert first == await store.changes.latest(PLATFORM) == 4
    assert await store.tenants.sync_yaml(PLATFORM, [ACME, BETA], [key("k1"), key("k1", "beta")], NOW + 1) == 4
    renamed = Tenant(id="beta", name="Beta 2", plan="free")
    assert await store.tenants.sync_yaml(PLATFORM, [ACME, renamed], [key("k1"), key("k1", "beta")], NOW + 2) == 5
    assert await kinds_since(store, 4) == [("tenant", "beta", "beta")]
    assert await store.tenants.get(PLATFORM, "acme") == ACME


async def test_what_vanishes_is_closed_and_comes_back(store: Store) -> None:
    await store.tenants.sync_yaml(PLATFORM, [ACME, BETA], [key("k1"), key("k2")], NOW)
    await store.tenants.sync_yaml(PLATFORM, [ACME], [key("k1")], NOW + 5)
    beta, k2 = await store.tenants.get(PLATFORM, "beta"), await store.keys.get(Scope("acme"), "k2")
    assert beta is not None
    assert beta.status == "closed"
    assert k2 is not None
    assert k2.revoked_us == NOW + 5
    await store.tenants.sync_yaml(PLATFORM, [ACME, BETA], [key("k1"), key("k2")], NOW + 9)
    beta, k2 = await store.tenants.get(PLATFORM, "beta"), await store.keys.get(Scope("acme"), "k2")
    assert beta is not None
    assert beta.status == "active"
    assert k2 is not None
    assert k2.revoked_us is None


async def test_state_set_by_command_survives_a_reload(store: Store) -> None:
    await store.tenants.sync_yaml(PLATFORM, [ACME], [key("k1")], NOW)
    await store.tenants.set_status(PLATFORM, "acme", "suspended", NOW, "ann")
    await store.keys.revoke(Scope("acme"), "k1", NOW + 1)
    before = await store.changes.latest(PLATFORM)
    assert await store.tenants.sync_yaml(PLATFORM, [ACME], [key("k1")], NOW + 2) == before
    state = await store.changes.load_state(PLATFORM)
    assert (state.sequence, state.tenants[0].status, state.keys[0].revoked_us) == (before, "suspended", NOW + 1)
    # A new hash under the same id is a new credential.
    await store.tenants.sync_yaml(PLATFORM, [ACME], [key("k1", hash="fresh")], NOW + 3)
    fresh = await store.keys.get(Scope("acme"), "k1")
    assert fresh is not None
    assert fresh.revoked_us is None


async def test_hashes_may_swap_and_move_in_one_reload(store: Store) -> None:
    await store.tenants.sync_yaml(PLATFORM, [ACME, BETA], [key("a", hash="1"), key("b", hash="2")], NOW)
    await store.tenants.sync_yaml(PLATFORM, [ACME, BETA], [key("a", hash="2"), key("b", hash="1")], NOW + 1)
    await store.tenants.sync_yaml(PLATFORM, [ACME, BETA], [key("c", "beta", hash="1"), key("a", hash="2")], NOW + 2)
    live = {(one.tenant, one.id) for one in (await store.changes.load_state(PLATFORM)).keys if one.revoked_us is None}
    assert live == {("acme", "a"), ("beta", "c")}


async def test_one_id_has_one_owner(store: Store) -> None:
    await store.tenants.create(PLATFORM, Tenant(id="acme", name="A", plan="pro", source="store"), NOW)
    with pytest.raises(Conflict, match="made by command"):
        await store.tenants.sync_yaml(PLATFORM, [BETA, ACME], [], NOW)
    assert await store.tenants.get(PLATFORM, "beta") is None
    with pytest.raises(Conflict, match="exists"):
        await store.tenants.create(PLATFORM, ACME, NOW)


async def test_keys_of_the_store(store: Store) -> None:
    await store.tenants.sync_yaml(PLATFORM, [ACME, BETA], [], NOW)
    made = key("key_1", source="store", created_us=NOW, expires_us=NOW + 9, scopes=("read",), hint="gk_live_…")
    assert await store.keys.create(Scope("acme"), made) == 3
    assert await store.keys.list(Scope("acme"), "acme") == [made]
    with pytest.raises(Conflict, match="exists"):
        await store.keys.create(PLATFORM, key("other", "beta", hash="acmekey_1"))
    with pytest.raises(Conflict, match="no tenant"):
        await store.keys.create(PLATFORM, key("k", "nobody"))
    with pytest.raises(ScopeError):
        await store.keys.create(Scope("beta"), key("k9"))
    assert await store.keys.revoke(Scope("acme"), "key_1", NOW + 1) == 4
    assert await store.keys.revoke(Scope("acme"), "key_1", NOW + 2) == 4
    assert await store.keys.revoke(Scope("acme"), "none", NOW) is None
    assert await kinds_since(store, 2) == [("key", "acme", "key_1")] * 2
    tenants, keys = await store.changes.load_changed(PLATFORM, await store.changes.since(PLATFORM, 0))
    assert [one.id for one in tenants] == ["acme", "beta"]
    assert [(one.id, one.revoked_us) for one in keys] == [("key_1", NOW + 1)]


async def test_foreign_ids_read_as_absent(store: Store) -> None:
    await store.tenants.sync_yaml(PLATFORM, [ACME, BETA], [key("k1")], NOW)
    beta = Scope("beta")
    assert await store.tenants.get(beta, "acme") is None
    assert [one.id for one in (await store.tenants.list(beta)).rows] == ["beta"]
    assert await store.keys.get(beta, "k1") is None
    assert await store.keys.list(beta, "acme") == []
    assert await store.keys.revoke(beta, "k1", NOW) is None
    for forbidden in (
        store.changes.latest(beta),
        store.changes.load_state(beta),
        store.tenants.sync_yaml(beta, [], [], NOW),
        store.tenants.set_status(beta, "beta", "active", NOW, "x"),
        store.ledger.cursors(beta),
        store.ledger.quota_sums(beta, "beta", "calls", 0, 1),
    ):
        with pytest.raises(ScopeError):
            await forbidden


async def test_tenants_are_paged(store: Store) -> None:
    many = [Tenant(id=f"t{n:03}", name="T", plan="free") for n in range(25)]
    await store.tenants.sync_yaml(PLATFORM, many, [], NOW)
    ids: list[str] = []
    after: str | None = None
    while True:
        page = await store.tenants.list(PLATFORM, 10, after)
        ids += [one.id for one in page.rows]
        after = page.next
        if after is None:
            break
    assert ids == [one.id for one in many]


async def test_status_changes_are_audited(store: Store) -> None:
    await store.tenants.sync_yaml(PLATFORM, [ACME], [], NOW)
    assert await store.tenants.set_status(PLATFORM, "acme", "suspended", NOW, "ann") == 2
    assert await store.tenants.set_status(PLATFORM, "nobody", "suspended", NOW, "ann") is None
    (entry,) = (await store.audit.list(Scope("acme"))).rows
    assert (entry.actor, entry.action, entry.target) == ("ann", "tenant.suspended", "acme")
    assert (await store.audit.list(Scope("beta"))).rows == ()
