"""Forged and expired credentials, other tenants' ids, odd and overlong input: nothing gets through, nothing breaks."""

import base64
import hashlib
import hmac
import itertools
import json
import os
import re
from pathlib import Path

import jwt
import pytest
from support.api_furniture import Lenient, furnish
from support.api_world import PASSWORD, SECRET, ApiWorld, open_api

from gateway.accounts.sessions import Sessions
from gateway.api.admission import Admission
from gateway.api.problems import CODES
from gateway.api.table import OPERATIONS
from gateway.clock import DAY_US, MINUTE_US

HOSTILE_BODIES = [
    b"", b"null", b"[]", b"{", b'"x"', b"\xff\xfe", b"[" * 20_000, b'{"a":' * 5_000, b'{"name": "\\u0000"}',
    b'{"name": "\\ud800"}', b'{"name": ""}', b'{"name": "   "}', b'{"name": 1}', b'{"name": null}',
    b'{"name": "x", "name2": 1}', b'{"name": "x", "expires_at": "2026-02-30T00:00:00Z"}',
    b'{"name": "x", "expires_at": "0000-00-00T00:00:00Z"}', b'{"name": "x", "expires_at": 1e400}',
    b'{"name": "x", "scopes": ["a b"]}', b'{"name": "x", "addresses": ["::1/500"]}',
    b'{"name": "x", "scopes": ' + json.dumps(["s"] * 1000).encode() + b"}",
    b'{"name": "' + b"x" * 101 + b'"}',
]  # fmt: skip


async def test_forged_tokens(world: ApiWorld) -> None:
    good = await world.enter("owner", "acme")
    claims = jwt.decode(good, options={"verify_signature": False})
    key = hmac.new(SECRET, b"gateway api access", hashlib.sha256).digest()
    refresh = (await world.services.sessions.open(world.people["owner@acme"], "")).refresh
    pages = Sessions(world.store.people, world.clock, SECRET)
    head = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').rstrip(b"=").decode()
    forged = [
        f"{head}.{good.split('.')[1]}.",
        jwt.encode(claims, "wrong key wrong key wrong key 32", algorithm="HS256"),
        jwt.encode(claims, SECRET, algorithm="HS256"),
        jwt.encode(claims | {"aud": "gateway-ui"}, key, algorithm="HS256"),
        jwt.encode(claims, key, algorithm="HS512"),
        jwt.encode({name: value for name, value in claims.items() if name != "exp"}, key, algorithm="HS256"),
        jwt.encode(claims | {"sid": "ses_nothing"}, key, algorithm="HS256"),
        jwt.encode(claims | {"exp": claims["iat"] - 1}, key, algorithm="HS256"),
        refresh,
        await pages.open(world.people["owner@acme"], ""),
        good[:-2] + ("AA" if not good.endswith("AA") else "BB"),
        good + "x" * 5000,
    ]
    for token in forged:
        status, found, headers = await world.ask("GET", "/auth/me", token=token)
        assert (status, found["code"]) == (401, "unauthenticated"), token[:60]
        assert headers["WWW-Authenticate"].startswith("Bearer")
    assert (await world.ask("GET", "/auth/me", token=good))[0] == 200
    world.clock.advance(15 * MINUTE_US)
    assert (await world.ask("GET", "/auth/me", token=good))[0] == 401


async def test_a_disabled_person_and_an_ended_session_are_out_at_once(world: ApiWorld) -> None:
    owner, member = await world.enter("owner", "acme"), await world.enter("member", "acme")
    id = world.people["member@acme"].id
    assert (await world.ask("PATCH", f"/users/{id}", {"status": "disabled"}, owner))[0] == 200
    assert (await world.ask("GET", "/auth/me", token=member))[0] == 401
    assert (await world.ask("POST", "/auth/logout", token=owner))[0] == 204
    assert (await world.ask("GET", "/auth/me", token=owner))[0] == 401


async def test_other_tenants_do_not_exist(world: ApiWorld) -> None:
    mine, theirs = await world.enter("owner", "acme"), await world.enter("owner", "globex")
    _, key, _ = await world.ask("POST", "/keys", {"name": "k"}, theirs)
    _, invitation, _ = await world.ask("POST", "/invitations", {"email": "a@b.example", "role": "member"}, theirs)
    _, token, _ = await world.ask("POST", "/tokens", {"name": "t", "scopes": ["read"]}, theirs)
    await world.post_calls("globex", 3)
    _, calls, _ = await world.ask("GET", "/calls", token=theirs)
    person = world.people["owner@globex"].id
    for method, path, body in (
        ("GET", f"/keys/{key['key']['id']}", None), ("DELETE", f"/keys/{key['key']['id']}", None),
        ("PATCH", f"/keys/{key['key']['id']}", {"name": "mine"}), ("POST", f"/keys/{key['key']['id']}/rotate", {}),
        ("GET", f"/users/{person}", None), ("PATCH", f"/users/{person}", {"role": "member"}),
        ("DELETE", f"/invitations/{invitation['id']}", None), ("DELETE", f"/tokens/{token['token']['id']}", None),
        ("GET", f"/calls/{calls['data'][0]['id']}", None), ("GET", "/tenants/globex", None),
        ("GET", "/tenants/globex/settings", None), ("PATCH", "/tenants/globex/settings", {"locale": "en"}),
        ("POST", "/tenants/globex/close", None), ("GET", "/tenants/globex/plans", None),
    ):  # fmt: skip
        status, found, _ = await world.ask(method, path, body, mine)
        assert (status, found["code"]) == (404, "not_found"), (method, path)
    assert (await world.ask("GET", "/calls", token=mine))[1]["data"] == []
    assert (await world.ask("GET", "/usage", token=mine))[1]["total"]["calls"] == 0
    status, found, _ = await world.ask("GET", "/keys", token=mine, X_Tenant_Id="globex")
    assert (status, found["code"]) == (403, "tenant_header_forbidden")
    assert len((await world.ask("GET", "/calls", token=theirs))[1]["data"]) == 3


@pytest.mark.parametrize("body", HOSTILE_BODIES, ids=range(len(HOSTILE_BODIES)))
async def test_odd_bodies_are_told_what_is_wrong(world: ApiWorld, body: bytes) -> None:
    status, found, headers = await world.ask("POST", "/keys", body, await world.enter("owner", "acme"))
    assert status in (400, 422), found
    assert headers["Content-Type"].startswith("application/problem+json")
    assert status == 400 or found["errors"]


ODD_VALUES: list[object] = [
    None, True, -1, 0, 2**31, 2**63, 10**400, 1.5, 1e308, "", " ", "\x00", "a\x00b", "a\r\nSet-Cookie: x=1", "\ud800",
    "x" * 60_000, "../../etc/passwd", "' OR 1=1 --", "{{7*7}}", "${PATH}", "%00", "٣", [], [[]], {}, {"a": {}},
]  # fmt: skip


async def test_no_value_of_any_field_breaks_an_operation(tmp_path: Path, store_url: str) -> None:
    if store_url.startswith("sqlite") and os.environ.get("PROVE") != "1":
        pytest.skip("PROVE=1 asks both stores; PostgreSQL is the stricter one")
    admission = Admission(burst=10**9, per_second=10**6)
    async with open_api(tmp_path, store_url=store_url, admission=admission, throttle=Lenient()) as world:
        ids, odd = await furnish(world), set()
        for operation in (one for one in OPERATIONS if one.request is not None and one.name != "logout"):
            token = await world.session("admin")
            named = re.sub(r"\{(\w+)\}", lambda found: ids[found[1]][0], operation.path)
            for name, value in itertools.product(operation.request.model_fields, ODD_VALUES):
                body = json.dumps({name: value}).encode()
                status, _, headers = await world.ask(operation.method, named, body, token, X_Tenant_Id="spare0")
                known = {CODES[code][0] for code in operation.codes} | {operation.status}
                if status not in known or status >= 500:
                    odd.add((operation.name, name, str(value)[:30], status))
                assert "Set-Cookie" not in headers
        assert odd == set()


async def test_odd_headers(world: ApiWorld) -> None:
    token = await world.enter("admin")
    tenants = ["", " ", "acme ", "ACME", "acme,globex", "../acme", "a" * 4000, "\u202eacme", "%61cme", "'--"]
    for tenant in tenants:
        status, found, _ = await world.ask("GET", "/keys", token=token, X_Tenant_Id=tenant)
        assert (status, found.get("code")) in ((404, "not_found"), (200, None)) or tenant.strip() == "", tenant
    for given in ("Basic YTpi", "Bearer", f"bearer  {token}x", f"Bearer {token},{token}", "\xff\xfe"):
        async with world.client.get("/api/v1/auth/me", headers={"Authorization": given}) as response:
            assert response.status in (400, 401), given
    owner = await world.enter("owner", "acme")
    for key in ("a b", "é", "x" * 256, " "):
        status, _, _ = await world.ask("POST", "/keys", {"name": "k"}, owner, Idempotency_Key=key)
        assert status in (201, 400), key
    for tag in ("", "*", "W/*", '"' + "x" * 5000, ",,,", "\xff"):
        headers = {"If_Match": tag}
        status, _, _ = await world.ask("PATCH", "/tenants/acme/settings", {"locale": "de"}, owner, **headers)
        assert status in (200, 412), tag


async def test_odd_requests(world: ApiWorld) -> None:
    token = await world.enter("owner", "acme")
    for path in ("/calls?limit=0", "/calls?limit=x", "/calls?limit=1&limit=2", "/calls?nonsense=1", "/calls?after=%00",
                 "/invoices?after=%00", "/users?after=a%00b", "/usage?key=%00", "/audit?actor=%0A",
                 "/calls?since=yesterday", "/usage?start=2026-01-02T00:00:00Z&end=2026-01-01T00:00:00Z",
                 "/usage?end=0001-01-01T00:00:00Z", "/usage?end=9999-12-31T23:59:59Z",
                 "/usage?start=1990-01-01T00:00:00Z", "/usage/series?bucket=hour&start=2026-01-01T00:00:00Z",
                 "/audit?after=x"):  # fmt: skip
        status, found, _ = await world.ask("GET", path, token=token)
        assert (status, found["code"]) == (422, "invalid"), path
    for path in (
        "/keys/",
        "/keys/%ff",
        "/keys/a%0Ab",
        "/keys/a%00b",
        "/keys//x",
        "/" + "x" * 4000,
        "/calls/call_x",
        "",
        "/",
    ):
        assert (await world.ask("GET", path, token=token))[0] == 404, path
    status, found, headers = await world.ask("DELETE", "/keys", token=token)
    assert (status, headers["Allow"]) == (405, "GET, HEAD, POST")
    assert (await world.ask("POST", "/keys", b"x=1", token, Content_Type="text/plain"))[0] == 415
    assert (await world.ask("POST", "/keys", b"{" + b" " * 70_000 + b"}", token))[0] == 413


async def test_guessing_passwords_is_slow_and_names_nobody(world: ApiWorld) -> None:
    user = await world.services.accounts.create_user("known@example.com", "owner", "acme")
    await world.services.accounts.set_password(user, PASSWORD)
    answers = {}
    for email in ("known@example.com", "nobody@example.com"):
        answers[email] = [
            (await world.ask("POST", "/auth/login", {"email": email, "password": f"wrong {n}"}))[:2] for n in range(6)
        ]
    known, nobody = answers.values()
    assert known == nobody
    assert [status for status, _ in known] == [401] * 5 + [429]


async def test_the_api_limits_its_own_callers(world: ApiWorld) -> None:
    token = await world.enter("owner", "acme")
    statuses = [(await world.ask("GET", "/auth/me", token=token)) for _ in range(401)]
    assert [status for status, _, _ in statuses[:400]] == [200] * 400
    status, found, headers = statuses[400]
    assert (status, found["code"], headers["Retry-After"]) == (429, "rate_limited", "1")
    assert (await world.ask("GET", "/auth/me", token=await world.enter("admin", "acme")))[0] == 200
    world.clock.advance(DAY_US // 86400)
    assert (await world.ask("GET", "/auth/me", token=token))[0] in (200, 401)


@pytest.mark.parametrize("name", ["a\r\nX: y", "gpj.\u202eexe", "\u2066a\u2069", "\u0085", "a\u2028b"])
async def test_names_hold_nothing_that_rewrites_what_stands_beside_them(world: ApiWorld, name: str) -> None:
    owner = await world.enter("owner", "acme")
    status, _, _ = await world.ask("POST", "/keys", {"name": name}, owner)
    assert status == 422
