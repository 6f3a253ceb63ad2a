"""Tokens, sessions and settings: one's own, shown once, ended at once, and taken at their word by the pages."""

import re

import pytest

from gateway.clock import HOUR_US
from gateway.storage.ports import PLATFORM
from gateway.tenants.model import Tenant

TOKEN = re.compile(r"gpat_[0-9A-Za-z]{40}")


async def send(world, path, page="/account/access", **fields):
    data = {"csrf": await world.csrf(page)} | fields
    return await world.client.post(path, data=data, allow_redirects=False)


async def read(world, path):
    return await (await world.client.get(path)).text()


@pytest.mark.parametrize(("role", "tenant"), [("admin", None), ("member", "acme")])
async def test_a_token_is_shown_once_works_and_is_revoked(world, role, tenant):
    await world.enter(role, tenant)
    answer = await send(world, "/account/access/create", name="batch-job", scope="read", expires="2027-01-31")
    assert answer.status == 303
    assert not TOKEN.search(answer.headers["Location"])
    (text,) = set(TOKEN.findall(await read(world, answer.headers["Location"])))
    assert not TOKEN.search(await read(world, answer.headers["Location"]))
    found = await world.services.tokens.find(text)
    assert found[0].scopes == ("read",)
    assert (await send(world, "/account/access/revoke", token=found[0].id)).status == 303
    assert await world.services.tokens.find(text) is None
    assert "batch-job" not in await read(world, "/account/access")


@pytest.mark.parametrize(
    "fields", [{"name": ""}, {"name": "x" * 101}, {"scope": "all"}, {"scope": ""},
                                    {"expires": "soon"}, {"expires": "2020-01-01"}, {"expires": "9999-12-31"}],
)  # fmt: skip
async def test_odd_tokens_are_refused_in_words(world, fields):
    user = await world.enter("owner", "acme")
    answer = await send(world, "/account/access/create", **({"name": "t", "scope": "read"} | fields))
    assert answer.status == 400
    assert 'role="alert"' in await answer.text()
    assert await world.services.tokens.list(user) == []


async def test_foreign_tokens_and_sessions_are_not_there(world):
    other = await world.person("other@example.com", "owner", "acme")
    _, token = await world.services.tokens.create(other, "theirs", ("read",), None)
    await world.log_in("other@example.com")
    (session,) = await world.store.people.sessions(PLATFORM, other.id, world.clock.now())
    world.client.session.cookie_jar.clear()
    await world.enter("admin", "acme")
    assert "theirs" not in await read(world, "/account/access")
    assert (await send(world, "/account/access/revoke", token=token.id)).status == 404
    assert (await send(world, "/account/access/end", session=session.id)).status == 404
    assert len(await world.store.people.sessions(PLATFORM, other.id, world.clock.now())) == 1


async def test_other_sessions_end(world):
    user = await world.person("ada@example.com", "admin")
    for _ in range(3):
        world.client.session.cookie_jar.clear()
        await world.log_in(user.email)
        world.clock.advance(1)  # the newest is this one
    assert (await read(world, "/account/access")).count("this one") == 1
    living = await world.store.people.sessions(PLATFORM, user.id, world.clock.now())
    assert len(living) == 3
    assert (await send(world, "/account/access/end", session=living[-1].id)).status == 303
    assert (await send(world, "/account/access/end-others")).status == 303
    assert len(await world.store.people.sessions(PLATFORM, user.id, world.clock.now())) == 1
    assert (await world.client.get("/account/access")).status == 200
    world.clock.advance(13 * HOUR_US)
    assert await world.store.people.sessions(PLATFORM, user.id, world.clock.now()) == []


@pytest.fixture
async def hooli(world):
    """A tenant that the store owns, with its owner before the pages."""
    await world.store.tenants.create(PLATFORM, Tenant("ten_hooli", "Hooli", "pro", source="store"), world.clock.now())
    return world


async def test_settings_change_how_pages_are_written(hooli):
    await hooli.post_calls("ten_hooli", [1000] * 1234)
    await hooli.enter("owner", "ten_hooli")
    page = "/portal/settings"
    answer = await send(hooli, page, page, timezone="Asia/Kathmandu", locale="de", date_format="dmy", name="Mine")
    assert answer.status == 303
    tenant = await hooli.store.tenants.get(PLATFORM, "ten_hooli")
    assert (tenant.name, tenant.timezone) == ("Hooli", "Asia/Kathmandu")
    text = await read(hooli, "/portal/usage")
    assert "1.234" in text
    assert "Asia/Kathmandu" in text
    assert "20/11/2026" in await read(hooli, "/portal/calls")


@pytest.mark.parametrize("fields", [{"locale": "deutsch"}, {"date_format": "ymd"}, {"timezone": "Mars/Base"}])
async def test_odd_settings_are_refused(hooli, fields):
    await hooli.enter("owner", "ten_hooli")
    assert (await send(hooli, "/portal/settings", "/portal/settings", **fields)).status == 400


async def test_the_configurations_name_and_zone_stay(world):
    await world.enter("admin")
    page = "/admin/tenants/acme/settings"
    assert "config/tenants.yaml:1" in await read(world, page)
    answer = await send(world, page, page, timezone="Europe/Berlin")
    assert answer.status == 400
    assert "config/tenants.yaml:1" in await answer.text()
    assert (await send(world, page, page, locale="fr")).status == 303


@pytest.mark.parametrize(("role", "status"), [("owner", 303), ("admin", 303), ("member", 403)])
async def test_who_may_save(hooli, role, status):
    await hooli.enter(role, "ten_hooli")
    assert (await send(hooli, "/portal/settings", "/portal", locale="en")).status == status
