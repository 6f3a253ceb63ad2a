"""Logging in, one-time links, logging out, and everything hostile that may be tried at the door."""

import asyncio

import jwt
import pytest
from support.ui_world import CONFIG, PASSWORD, World, open_world

from gateway.accounts.people import link_url
from gateway.accounts.sessions import ABSOLUTE_US, COOKIE, IDLE_US
from gateway.clock import DAY_US, HOUR_US, MINUTE_US
from gateway.ui.guard import safe_next


def cookie(world: World) -> str:
    found = world.client.session.cookie_jar.filter_cookies(world.client.make_url("/")).get(COOKIE)
    return found.value if found else ""


async def status(world: World, path: str = "/account", **headers: str) -> int:
    return (await world.client.get(path, allow_redirects=False, headers=headers)).status


async def test_login_leads_home_and_its_cookie_is_hidden_from_scripts_and_other_sites(world):
    user = await world.person("ada@example.com", "admin")
    response = await world.log_in(user.email, next="/admin/routes")
    assert (response.status, response.headers["Location"]) == (303, "/admin/routes")
    attributes = next(value for value in response.headers.getall("Set-Cookie") if value.startswith(COOKIE)).lower()
    assert "httponly" in attributes
    assert "samesite=lax" in attributes
    assert "domain=" not in attributes
    assert await status(world) == 200


async def test_wrong_password_unknown_person_and_nonsense_get_the_same_answer(world):
    await world.person("ada@example.com", "admin")
    bodies = set()
    for email in ("ada@example.com", "nobody@example.com", "x" * 5000, "' or 1=1 --"):
        response = await world.log_in(email, "wrong password")
        assert response.status == 401
        text = await response.text()
        bodies.add(text.replace(email[:254], "E").replace("&#39; or 1=1 --", "E").replace(await world.csrf(), "T"))
    assert len(bodies) == 1


async def test_guessing_is_slowed_down_for_known_and_unknown_accounts_alike(world):
    await world.person("ada@example.com", "admin")
    for email in ("ada@example.com", "nobody@example.com"):
        assert [(await world.log_in(email, "wrong")).status for _ in range(6)] == [401] * 5 + [429]
    refused = await world.log_in("ada@example.com")
    assert refused.status == 429  # the right password too: the answer tells a guesser nothing
    assert 0 < int(refused.headers["Retry-After"]) <= 60
    world.clock.advance(MINUTE_US)
    assert (await world.log_in("ada@example.com")).status == 303


async def test_an_address_is_slowed_down_over_many_accounts(world):
    statuses = [(await world.log_in(f"u{n}@example.com", "wrong")).status for n in range(31)]
    assert statuses == [401] * 30 + [429]


async def test_login_rotates_the_session(world):
    user = await world.person("ada@example.com", "admin")
    await world.log_in(user.email)
    first = cookie(world)
    token = await world.accounts.issue_link(user, "login", HOUR_US)
    await world.client.get(f"/login/link?token={token}")
    assert cookie(world) != first
    world.client.session.cookie_jar.clear()
    assert await status(world, Cookie=f"{COOKIE}={first}") == 303


async def test_logout_ends_the_session_in_the_store(world):
    await world.enter("admin")
    old = cookie(world)
    response = await world.client.post("/logout", data={"csrf": await world.csrf("/account")}, allow_redirects=False)
    assert response.status == 303
    assert cookie(world) == ""
    assert await status(world, Cookie=f"{COOKIE}={old}") == 303


async def test_sessions_end_when_idle_and_in_any_case(world):
    await world.enter("admin")
    world.clock.advance(IDLE_US - 1)
    assert await status(world) == 200
    world.clock.advance(IDLE_US - 1)  # touched by the look before
    assert await status(world) == 200
    world.clock.advance(IDLE_US)
    assert await status(world) == 303
    await world.log_in("admin-None@example.com")
    for _ in range(2 * ABSOLUTE_US // IDLE_US - 1):
        world.clock.advance(IDLE_US // 2)
        assert await status(world) == 200
    world.clock.advance(IDLE_US // 2)
    assert await status(world) == 303


async def test_forged_cookies_open_nothing(world):
    await world.enter("admin")
    genuine = cookie(world)
    claims = jwt.decode(genuine, options={"verify_signature": False})
    forged = [
        jwt.encode(claims, "", algorithm="none"),
        jwt.encode(claims, "t" * 32, algorithm="HS256"),
        jwt.encode(claims, world.services.secret, algorithm="HS256"),  # the root secret signs nothing itself
        genuine[:-2],
        genuine + "A" * 5000,
        "not a token",
        "é",
    ]
    world.client.session.cookie_jar.clear()
    for value in forged:
        assert await status(world, Cookie=f"{COOKIE}={value}") == 303, value
    assert await status(world, Cookie=f"{COOKIE}={genuine}") == 200


async def test_a_disabled_person_is_out_at_once(world):
    from gateway.storage.ports import PLATFORM

    user = await world.enter("admin")
    await world.store.people.set_user_status(PLATFORM, user.id, "disabled")
    assert await status(world) == 303
    assert (await world.log_in(user.email)).status == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://[broken"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
async def test_forms_from_elsewhere_are_refused(world, headers):
    await world.enter("admin")
    data = {"csrf": await world.csrf("/account")}
    response = await world.client.post("/logout", data=data, headers=headers, allow_redirects=False)
    assert response.status == 403
    assert await status(world) == 200


async def test_a_csrf_token_serves_its_own_session_only(world):
    await world.enter("admin")
    old = await world.csrf("/account")
    await world.client.post("/logout", data={"csrf": old}, allow_redirects=False)
    await world.log_in("admin-None@example.com")
    for token in (old, "", "0" * 64, "é" * 64):
        response = await world.client.post("/logout", data={"csrf": token}, allow_redirects=False)
        assert response.status == 403
    assert (await world.client.post("/logout", allow_redirects=False)).status == 403


async def test_a_link_logs_in_once_and_leaves_no_token_in_the_address(world):
    user = await world.person("ada@example.com", "owner", "acme")
    token = await world.accounts.issue_link(user, "login", HOUR_US)
    url = link_url("", token)
    assert (await world.client.head(url)).status == 405
    assert (await world.client.get(url, headers={"Sec-Purpose": "prefetch"})).status == 503
    response = await world.client.get(url)
    assert response.status == 200
    assert str(response.url.path) == "/portal"
    assert token not in str(response.url)
    assert token not in await response.text()
    again = await world.client.get(url, allow_redirects=False)
    assert again.status == 410


async def test_of_many_who_follow_a_link_at_once_one_gets_in(world):
    user = await world.person("ada@example.com", "admin")
    token = await world.accounts.issue_link(user, "login", HOUR_US)
    results = await asyncio.gather(*(world.accounts.redeem(token) for _ in range(8)))
    assert sum(result is not None for result in results) == 1


async def test_links_grow_old_and_unknown_ones_are_nothing(world):
    user = await world.person("ada@example.com", "admin")
    token = await world.accounts.issue_link(user, "reset", HOUR_US)
    world.clock.advance(HOUR_US)
    for text in (token, "", "x" * 40, "x" * 4000):
        assert (await world.client.get("/login/link", params={"token": text})).status == 410


async def test_an_invited_person_sets_a_password_and_logs_in_with_it(world):
    user = await world.accounts.create_user("ada@example.com", "owner", "acme")
    assert (await world.log_in(user.email, "")).status == 401
    token = await world.accounts.issue_link(user, "invite", DAY_US)
    page = await world.client.get(f"/login/link?token={token}")
    assert page.url.path == "/account"
    data = {"csrf": await world.csrf("/account"), "password": PASSWORD, "again": PASSWORD}
    response = await world.client.post("/account/password", data=data)
    assert "Your password is changed" in await response.text()
    world.client.session.cookie_jar.clear()
    assert (await world.log_in(user.email)).status == 303


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"current": PASSWORD, "password": "short", "again": "short"}, 400),
        ({"current": PASSWORD, "password": "a" * 257, "again": "a" * 257}, 400),
        ({"current": PASSWORD, "password": "a new password", "again": "another one"}, 400),
        ({"current": "wrong", "password": "a new password", "again": "a new password"}, 400),
        ({"current": PASSWORD, "password": "a new password", "again": "a new password"}, 200),
    ],
)
async def test_changing_the_password(world, fields, code):
    await world.enter("admin")
    mine = cookie(world)
    response = await world.client.post("/account/password", data={"csrf": await world.csrf("/account")} | fields)
    assert response.status == code
    assert (cookie(world) != mine) == (code == 200)
    assert (await status(world, Cookie=f"{COOKIE}={mine}")) == 200 or code == 200


async def test_the_first_admin_gets_links_until_a_password_is_set(world):
    first = await world.accounts.first_admin_token()
    second = await world.accounts.first_admin_token()
    assert first
    assert second
    redeemed = await world.accounts.redeem(second)
    assert redeemed
    await world.accounts.set_password(redeemed.user, PASSWORD)
    assert await world.accounts.first_admin_token() is None


async def test_the_first_admins_links_end_when_there_is_another_admin(world):
    assert await world.accounts.first_admin_token()
    await world.person("ada@example.com", "admin")
    assert await world.accounts.first_admin_token() is None


async def test_behind_a_trusted_proxy_each_person_has_an_address(tmp_path):
    async with open_world(tmp_path, config=CONFIG + "server: {trusted_proxies: [127.0.0.0/8]}\n") as world:
        csrf = await world.csrf()

        async def guess(number: int, of: str) -> int:
            data = {"csrf": csrf, "email": f"{number}@example.com", "password": "wrong"}
            seen = {"X-Forwarded-For": f"10.9.9.9, {of}"}
            return (await world.client.post("/login", data=data, headers=seen)).status

        assert [await guess(number, "192.0.2.1") for number in range(31)] == [401] * 30 + [429]
        assert await guess(99, "192.0.2.2") == 401


async def test_no_page_takes_a_nul_or_text_that_is_no_text(world):
    await world.enter("admin")
    for path in (
        "/admin/tenants?search=%00",
        "/admin/tenants/a%00b",
        "/admin/invoices?after=%00",
        "/admin/calls?key=%00",
    ):
        assert await status(world, path) == 404, path
    csrf = await world.csrf("/account")
    fields = {"csrf": csrf, "email": "a\0@example.com", "role": "admin"}
    assert (await world.client.post("/admin/people/invite", data=fields)).status == 400
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    for body in (b'--b\r\nContent-Disposition: form-data; name="csrf"\r\n\r\n\xff\xfe\r\n--b--\r\n', b"nonsense"):
        assert (await world.client.post("/account/password", data=body, headers=headers)).status in (400, 403), body


async def test_no_first_admin_where_there_is_one(world):
    await world.person("ada@example.com", "admin")
    assert await world.accounts.first_admin_token() is None


@pytest.mark.parametrize(
    "text", ["//evil.example", "https://evil.example", "/\\evil", "/admin//x", "/admin\n", "", "/x"]
)
def test_login_never_leads_elsewhere(text):
    assert safe_next(text) == "/"


async def test_the_theme_is_remembered_without_a_script(world):
    data = {"csrf": await world.csrf(), "theme": "dark", "back": "/login"}
    response = await world.client.post("/theme", data=data)
    assert 'data-theme="dark"' in await response.text()


async def test_a_form_that_outlived_its_session_leads_back_to_itself(world):
    await world.enter("owner", "acme")
    csrf = await world.csrf("/portal/team")
    world.client.session.cookie_jar.clear()
    for referer, where in (("/portal/team", "%2Fportal%2Fteam"), ("//elsewhere.example/x", "%2F"), ("http://[", "%2F")):
        sent = await world.client.post(
            "/portal/team/invite", data={"csrf": csrf, "email": "b@example.com"}, headers={"Referer": referer}
        )
        assert sent.status == 401
        assert f'href="/login?next={where}"' in await sent.text()


async def test_a_form_of_an_older_session_leads_back_to_itself(world):
    await world.enter("owner", "acme")
    sent = await world.client.post(
        "/portal/team/invite", data={"csrf": "0" * 64}, headers={"Referer": f"{world.url}/portal/team"}
    )
    assert sent.status == 403
    assert 'href="/portal/team"' in await sent.text()
