"""Keys on the pages: shown once, changed by who may, and never found by anybody else."""

import asyncio
import re

import pytest

from gateway.storage.ports import PLATFORM
from gateway.ui.once import KEPT_US

SECRET = re.compile(r"gk_live_\w{11}_\w{33}")


async def send(world, path, page="/portal/keys", **fields):
    data = {"csrf": await world.csrf(page)} | fields
    return await world.client.post(path, data=data, allow_redirects=False)


async def create(world, **fields):
    """Send the form as a browser does: on to the page that it leads to."""
    answer = await send(world, "/portal/keys", **({"name": "production"} | fields))
    if answer.status == 303:
        answer = await world.client.get(answer.headers["Location"])
    return answer, await answer.text()


async def made(world, tenant="acme"):
    """The keys that the store owns, newest first."""
    return [key for key in await world.store.keys.list(PLATFORM, tenant) if key.source == "store"]


@pytest.mark.parametrize("role", ["owner", "admin", "member"])
async def test_a_key_is_shown_once(world, role):
    await world.enter(role, "acme")
    answer, text = await create(world)
    assert answer.status == 200
    assert answer.headers["Cache-Control"] == "no-store"
    (secret,) = set(SECRET.findall(text))
    (key,) = await made(world)
    assert answer.url.path == f"/portal/keys/{key.id}"
    assert secret not in str(answer.url)
    for path in ("/portal/keys", f"/portal/keys/{key.id}", f"/portal/keys/{key.id}?done=made", "/portal"):
        assert secret not in await (await world.client.get(path)).text()


async def test_a_form_that_is_sent_twice_makes_one_key(world):
    await world.enter("owner", "acme")
    page = await (await world.client.get("/portal/keys")).text()
    once = re.search(r'name="once" value="([\w-]+)"', page)[1]
    answers = await asyncio.gather(*(send(world, "/portal/keys", name="one", once=once) for _ in range(5)))
    assert {answer.headers["Location"] for answer in answers} == {f"/portal/keys/{(await made(world))[0].id}?done=made"}
    assert len(await made(world)) == 1
    await send(world, "/portal/keys", name="another", once=once)
    assert len(await made(world)) == 2


async def test_a_refused_form_may_be_sent_again(world):
    await world.enter("owner", "acme")
    for _ in range(2):
        assert (await send(world, "/portal/keys", name="", once="n" * 16)).status == 400


async def test_a_fresh_key_is_for_the_session_that_made_it(world):
    await world.enter("owner", "acme")
    await send(world, "/portal/keys", name="mine")
    (key,) = await made(world)
    cookies = world.client.session.cookie_jar
    mine = {name: cookie.value for name, cookie in cookies.filter_cookies(world.client.make_url("/")).items()}
    cookies.clear()
    await world.enter("admin", "acme")
    assert not SECRET.search(await (await world.client.get(f"/portal/keys/{key.id}")).text())
    cookies.clear()
    answer = await world.client.get(f"/portal/keys/{key.id}", cookies=mine)
    assert SECRET.search(await answer.text())


async def test_a_fresh_key_waits_ten_minutes(world):
    await world.enter("owner", "acme")
    await send(world, "/portal/keys", name="late")
    (key,) = await made(world)
    world.clock.advance(KEPT_US)
    assert not SECRET.search(await (await world.client.get(f"/portal/keys/{key.id}")).text())


async def test_fields_are_kept_and_shown(world):
    await world.enter("owner", "acme")
    await create(world, scopes="read, write", addresses="203.0.113.0/24 2001:db8::1", expires="2027-01-31")
    (key,) = await made(world)
    assert key.scopes == ("read", "write")
    assert key.addresses == ("203.0.113.0/24", "2001:db8::1/128")
    text = await (await world.client.get(f"/portal/keys/{key.id}")).text()
    assert 'value="2027-01-31"' in text
    assert "203.0.113.0/24" in text


@pytest.mark.parametrize(
    "fields",
    [
        {"name": ""}, {"name": "x" * 101}, {"name": "a\x00b"}, {"scopes": "<b>"}, {"scopes": "a " * 60 + "é"},
        {"addresses": "203.0.113.7/24"}, {"addresses": "localhost"}, {"expires": "tomorrow"},
        {"expires": "9999-12-31"}, {"expires": "2020-01-01"}, {"expires": "0001-01-01"},
    ],
)  # fmt: skip
async def test_odd_fields_are_refused_in_words(world, fields):
    await world.enter("owner", "acme")
    answer, text = await create(world, **fields)
    assert answer.status == 400
    assert 'role="alert"' in text or "\x00" in fields.get("name", "")  # no form sends a NUL: the whole page is refused
    assert await made(world) == []


async def test_rotation_keeps_the_old_key_for_the_overlap(world):
    await world.enter("owner", "acme")
    _, first = await create(world)
    (old,) = await made(world)
    answer = await send(world, f"/portal/keys/{old.id}/rotate", f"/portal/keys/{old.id}", overlap="3600")
    assert answer.status == 303
    second = await (await world.client.get(answer.headers["Location"])).text()
    assert "The old key ends in an hour" in second
    assert set(SECRET.findall(second)).isdisjoint(SECRET.findall(first))
    new, ended = sorted(await made(world), key=lambda key: key.expires_us or 0)
    assert ended.id == old.id
    assert ended.expires_us == world.clock.now() + 3_600_000_000
    assert new.name == "production"


async def test_revoking_and_changing(world):
    await world.enter("admin", "acme")
    await create(world)
    (key,) = await made(world)
    here = f"/portal/keys/{key.id}"
    assert (await send(world, f"{here}/change", here, name="staging")).status == 303
    assert (await made(world))[0].name == "staging"
    assert (await send(world, f"{here}/rotate", here, overlap="-5")).status == 400
    assert (await send(world, f"{here}/revoke", here)).status == 303
    assert (await made(world))[0].revoked_us is not None
    assert (await send(world, f"{here}/rotate", "/portal/keys", overlap="0")).status == 409
    assert (await send(world, f"{here}/explode", "/portal/keys")).status == 404


async def test_a_member_changes_only_what_they_made(world):
    await world.enter("owner", "acme")
    await create(world)
    (foreign,) = await made(world)
    await world.client.post("/logout", data={"csrf": await world.csrf("/portal/keys")})
    await world.enter("member", "acme")
    for action in ("revoke", "rotate", "change"):
        answer = await send(world, f"/portal/keys/{foreign.id}/{action}", name="mine", overlap="0")
        assert answer.status == 403, action
    assert (await made(world))[0].revoked_us is None
    await create(world, name="own")
    own = next(key for key in await made(world) if key.name == "own")
    assert (await send(world, f"/portal/keys/{own.id}/revoke")).status == 303


async def test_what_the_configuration_owns_stays_there(world):
    await world.enter("owner", "acme")
    text = await (await world.client.get("/portal/keys/k1")).text()
    assert "config/tenants.yaml:1" in text
    assert "Revoke this key" not in text
    answer = await send(world, "/portal/keys/k1/revoke")
    assert answer.status == 409
    assert "managed by the configuration" in await answer.text()


async def test_foreign_keys_are_not_there(world):
    await world.enter("owner", "globex")
    await create(world)
    (key,) = await made(world, "globex")
    await world.client.post("/logout", data={"csrf": await world.csrf("/portal/keys")})
    await world.enter("owner", "acme")
    assert (await world.client.get(f"/portal/keys/{key.id}")).status == 404
    for action in ("revoke", "rotate", "change"):
        assert (await send(world, f"/portal/keys/{key.id}/{action}", name="x", overlap="0")).status == 404
    assert (await send(world, "/admin/tenants/acme/keys", name="x")).status == 404
    assert (await made(world, "globex"))[0].revoked_us is None


@pytest.mark.parametrize(("role", "status"), [("admin", 200), ("support", 403), ("finance", 403)])
async def test_the_operators_of_keys(world, role, status):
    await world.enter(role)
    data = {"csrf": await world.csrf("/admin"), "name": "for them"}
    assert (await world.client.post("/admin/tenants/acme/keys", data=data)).status == status
    assert len(await made(world)) == (status == 200)


async def test_without_a_form_token_nothing_happens(world):
    await world.enter("owner", "acme")
    assert (await world.client.post("/portal/keys", data={"name": "x"})).status == 403
    data = {"csrf": await world.csrf("/portal/keys"), "name": "x"}
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        assert (await world.client.post("/portal/keys", data=data, headers=headers)).status == 403
    assert await made(world) == []
