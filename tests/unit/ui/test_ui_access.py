"""Who may open which page: every page of the application, every kind of visitor."""

from dataclasses import replace

import pytest
from aiohttp import CookieJar
from aiohttp.test_utils import TestClient, TestServer, unused_port

from gateway.runtime.api_services import portal_guard
from gateway.storage.ports import PLATFORM
from gateway.tenants.permissions import allows
from gateway.ui.app import ROUTES, build_ui
from gateway.ui.guard import Need

ACCESS = {path: access for method, path, access, _ in ROUTES if method == "GET" and access != "anyone"}
PATHS = [path for path in ACCESS if "{invoice}" not in path and "{note}" not in path]  # there is none in this world
FOREIGN = ["/admin/tenants/globex", "/admin/tenants/globex/calls"]


async def get(world, path):
    return await world.client.get(
        path.replace("{id}", "acme").replace("{key}", "k1").replace("{plan}", "pro"), allow_redirects=False
    )


def allowed(path, role, of_tenant):
    """200, or 403 where the role has no right by the one table."""
    need = ACCESS.get(path)
    if not isinstance(need, Need):
        return 200
    return 200 if allows(role, of_tenant=of_tenant, area=need.area, access=need.right) else 403


@pytest.mark.parametrize("path", PATHS)
async def test_without_a_session_there_is_only_the_login(world, path):
    response = await get(world, path)
    if path.endswith("/live"):
        assert response.status == 401
    else:
        assert response.status == 303
        assert response.headers["Location"].startswith("/login?next=/")


@pytest.mark.parametrize("role", ["admin", "finance", "support"])
async def test_the_platforms_people_see_the_admin_pages_and_no_portal(world, role):
    await world.enter(role)
    for path in PATHS:
        if path.endswith("/live"):
            continue
        response = await get(world, path)
        expected = 303 if path == "/portal" else 404 if path.startswith("/portal/") else allowed(path, role, False)
        assert response.status == expected, path


@pytest.mark.parametrize("role", ["owner", "admin", "member"])
async def test_a_tenants_people_see_their_portal_and_no_admin_page(world, role):
    await world.enter(role, "acme")
    for path in [*PATHS, *FOREIGN]:
        if path == "/portal/live":
            continue
        expected = 404 if path.startswith("/admin") else allowed(path, role, True)
        assert (await get(world, path)).status == expected, path


async def test_a_portal_shows_its_own_tenant_alone(world):
    await world.post_calls("acme", [1, 2, 3], path="/acme-secret")
    await world.post_calls("globex", [1, 2], path="/globex-secret")
    await world.enter("owner", "globex")
    for path in ("/portal", "/portal/calls", "/portal?fragment=live", "/portal/calls?tenant=acme"):
        text = await (await world.client.get(path)).text()
        assert "globex-secret" in text
        assert "acme" not in text.lower()


@pytest.mark.parametrize("path", ["/admin/tenants/nobody", "/admin/tenants/%2e%2e", "/admin/tenants/a%00b", "/admin/x"])
async def test_what_is_not_there_is_404(world, path):
    await world.enter("admin")
    response = await world.client.get(path)
    assert response.status == 404
    assert "Nothing here" in await response.text()


@pytest.mark.parametrize("after", ["x", "é", "0" * 200, "%00", "-1", "9" * 60, f"{10**30}.1", f"1.{10**30}"])
@pytest.mark.parametrize("path", ["/admin/calls", "/admin/tenants", "/admin/tenants/acme/calls"])
async def test_odd_cursors_are_no_server_error(world, path, after):
    await world.enter("admin")
    assert (await world.client.get(f"{path}?after={after}")).status in (200, 400, 404)


async def test_what_tenants_write_is_text(world):
    evil = "<script>alert(1)</script>"
    await world.post_calls("acme", [1], path=f"/{evil}", method=evil)
    await world.enter("admin")
    for path in ("/admin", "/admin/calls", "/admin/tenants/acme"):
        assert evil not in await (await world.client.get(path)).text()


async def test_every_answer_carries_the_security_headers(world):
    await world.enter("admin")
    for path in ("/login", "/admin", "/nothing", "/static/gateway.css"):
        headers = (await world.client.get(path)).headers
        assert headers["Content-Security-Policy"].startswith("default-src 'self'")
        assert headers["X-Content-Type-Options"] == "nosniff"
    assert (await world.client.get("/admin")).headers["Cache-Control"] == "no-store"


async def test_the_listener_for_tenants_knows_nobody_of_the_platform(world):
    await world.person("owner@acme.example", "owner", "acme")
    admin = await world.enter("admin")
    port = unused_port()
    app = build_ui(world.services)
    app.middlewares.append(portal_guard(("127.0.0.1", port)))
    jar = CookieJar(unsafe=True)
    async with TestClient(TestServer(app, port=port), cookie_jar=jar) as client:
        here = replace(world, client=client)
        assert (await here.log_in(admin.email)).status == 401
        for cookie in world.client.session.cookie_jar:  # browsers keep cookies by host: a session of the other port
            jar.update_cookies({cookie.key: cookie.value}, client.make_url("/"))
        for path in ("/account", "/account/access", "/portal"):
            assert (await get(here, path)).headers["Location"].startswith("/login?next=")
        assert (await get(here, "/admin")).status == 404
        assert (await here.log_in("owner@acme.example")).status == 303
        assert [(await get(here, path)).status for path in ("/portal", "/account", "/admin")] == [200, 200, 404]
    assert (await get(world, "/admin")).status == 200


@pytest.mark.parametrize(("host", "status"), [("127.0.0.2", 200), ("::", 404)])
async def test_the_listener_for_tenants_is_an_address_and_a_port(world, host, status):
    user = await world.person("ada@example.com", "admin")
    port = unused_port()
    app = build_ui(world.services)
    app.middlewares.append(portal_guard((host, port)))
    async with TestClient(TestServer(app, port=port), cookie_jar=CookieJar(unsafe=True)) as client:
        here = replace(world, client=client)
        assert (await here.log_in(user.email)).status == (303 if status == 200 else 401)
        assert (await get(here, "/admin")).status == status


async def test_cookies_are_secure_where_people_come_by_https(world):
    snapshot = world.services.snapshot()
    by_https = replace(snapshot, server=replace(snapshot.server, public_url="https://gateway.example"))
    app = build_ui(replace(world.services, snapshot=lambda: by_https))
    async with TestClient(TestServer(app)) as client:
        cookies = (await client.get("/login")).headers.getall("Set-Cookie")
    assert cookies
    assert all("; Secure" in one and "Domain=" not in one for one in cookies)


async def test_passwords_are_kept_as_argon2id(world):
    user = await world.person("ada@example.com", "admin")
    kept = (await world.store.people.get_user(PLATFORM, user.id)).password_hash
    assert kept.startswith("$argon2id$v=19$m=19456,t=2,p=1$")  # OWASP's first choice
