"""People, sessions, one-time links and the audit log."""

import asyncio

import pytest

from gateway.storage.engine import Conflict
from gateway.storage.ports import PLATFORM, Scope
from gateway.storage.scoping import ScopeError
from gateway.storage.store import Store
from gateway.storage.values import AuditEntry, BadCursor, Link, Session, User
from gateway.tenants.model import Tenant

NOW = 1_800_000_000_000_000
ADMIN = User("usr_1", "Ann@Example.com", "admin", created_us=NOW)
OWNER = User("usr_2", "bob@example.com", "owner", "acme", created_us=NOW)


@pytest.fixture
async def people(store: Store) -> Store:
    await store.tenants.create(PLATFORM, Tenant(id="acme", name="A", plan="p", source="store"), NOW)
    await store.people.create_user(PLATFORM, ADMIN)
    await store.people.create_user(Scope("acme"), OWNER)
    return store


async def test_people_are_known_by_lower_case_mail(people: Store) -> None:
    found = await people.people.find_email(PLATFORM, " ANN@example.COM")
    assert found is not None
    assert (found.id, found.email) == ("usr_1", "ann@example.com")
    with pytest.raises(Conflict, match="exists"):
        await people.people.create_user(PLATFORM, User("usr_9", "ann@EXAMPLE.com", "support"))
    with pytest.raises(Conflict, match="no tenant"):
        await people.people.create_user(PLATFORM, User("usr_9", "c@d", "owner", "nobody"))


async def test_a_tenant_sees_its_own_people_only(people: Store) -> None:
    acme = Scope("acme")
    assert await people.people.get_user(acme, "usr_1") is None
    assert await people.people.get_user(acme, "usr_2") == OWNER
    assert await people.people.list_users(acme) == [OWNER]
    assert await people.people.list_users(PLATFORM, "acme") == [OWNER]
    assert [one.id for one in await people.people.list_users(PLATFORM)] == ["usr_1"]
    assert await people.people.list_users(Scope("beta"), "acme") == []
    assert not await people.people.set_password(Scope("beta"), "usr_2", "x")
    with pytest.raises(ScopeError):
        await people.people.create_user(acme, User("usr_9", "x@y", "admin"))
    with pytest.raises(ScopeError):
        await people.people.find_email(acme, "ann@example.com")


async def test_admins_are_active_platform_people(people: Store) -> None:
    assert await people.people.has_admin(PLATFORM)
    await people.people.set_user_status(PLATFORM, "usr_1", "disabled")
    assert not await people.people.has_admin(PLATFORM)


async def test_sessions_end(people: Store) -> None:
    repository = people.people
    for id in ("a", "b"):
        await repository.open_session(PLATFORM, Session(id, "usr_1", NOW, NOW + 10, NOW + 100))
    await repository.touch_session(PLATFORM, "a", NOW + 20)
    await repository.touch_session(PLATFORM, "a", NOW + 5)
    touched = await repository.session(PLATFORM, "a")
    assert touched is not None
    assert touched.idle_expires_us == NOW + 20
    await repository.revoke_session(PLATFORM, "a", NOW + 30)
    await repository.revoke_sessions(PLATFORM, "usr_1", NOW + 40)
    ended = [await repository.session(PLATFORM, id) for id in ("a", "b")]
    assert [one and one.revoked_us for one in ended] == [NOW + 30, NOW + 40]
    assert await repository.session(PLATFORM, "none") is None


async def test_a_link_is_used_once(people: Store) -> None:
    link = Link(b"h" * 32, "usr_1", "login", NOW, NOW + 10)
    await people.people.create_link(PLATFORM, link)
    assert await people.people.use_link(PLATFORM, b"x" * 32, NOW) is None
    assert await people.people.use_link(PLATFORM, link.hash, NOW + 10) is None
    used = await asyncio.gather(*(people.people.use_link(PLATFORM, link.hash, NOW + n) for n in range(5)))
    assert sum(one is not None for one in used) == 1


async def test_the_audit_log_pages_newest_first(store: Store) -> None:
    for n in range(5):
        await store.audit.append(PLATFORM, AuditEntry(NOW + n, "ann", "did", str(n), detail={"n": str(n)}))
    page = await store.audit.list(PLATFORM, 3)
    rest = await store.audit.list(PLATFORM, 3, page.next)
    assert [one.target for one in (*page.rows, *rest.rows)] == ["4", "3", "2", "1", "0"]
    assert rest.next is None
    with pytest.raises(BadCursor):
        await store.audit.list(PLATFORM, 3, "1 OR 1=1")
    with pytest.raises(ScopeError):
        await store.audit.append(Scope("acme"), AuditEntry(NOW, "x", "y", "z"))
