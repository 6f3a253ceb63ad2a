"""Registering, confirming, forgetting a password, joining; and what strangers learn from it: nothing."""

import pytest
from support.ui_world import PASSWORD, open_world

OPEN = {"registration": "open", "default_plan": "free", "verify_email": "on"}
FORM = {"organisation": "Hooli", "name": "Gavin", "email": "gavin@hooli.example", "password": PASSWORD}


@pytest.fixture
async def open_gate(tmp_path):
    async with open_world(tmp_path, accounts=OPEN) as world:
        yield world


async def send(world, path, page=None, **fields):
    data = {"csrf": await world.csrf(page or path)} | fields
    answer = await world.client.post(path, data=data, allow_redirects=False)
    await world.services.registration.settle()
    return answer


async def test_register_confirm_and_log_in(open_gate):
    answer = await send(open_gate, "/register", **FORM)
    assert answer.status == 200
    assert PASSWORD not in await answer.text()
    assert (await open_gate.log_in(FORM["email"])).status == 403
    token = open_gate.mail.token
    assert (await open_gate.client.get(f"/verify?token={token}")).status == 200
    assert (await send(open_gate, "/verify", token=token)).status == 200
    assert (await send(open_gate, "/verify", token=token)).status == 410
    answer = await open_gate.log_in(FORM["email"])
    assert (answer.status, answer.headers["Location"]) == (303, "/")
    assert "Hooli" in await (await open_gate.client.get("/portal")).text()


async def test_a_known_address_is_answered_alike(open_gate):
    await open_gate.person("gavin@hooli.example", "owner", "acme")
    known = await (await send(open_gate, "/register", **FORM)).text()
    fresh = await (await send(open_gate, "/register", **(FORM | {"email": "new@hooli.example"}))).text()
    assert known == fresh
    assert [mail.subject for mail in open_gate.mail.sent] == [
        "You have an account already",
        "Confirm your e-mail address",
    ]


@pytest.mark.parametrize("fields", [{"organisation": ""}, {"name": "x" * 101}, {"email": "x"}, {"password": "short"}])
async def test_odd_registrations_are_refused(open_gate, fields):
    answer = await send(open_gate, "/register", **(FORM | fields))
    assert answer.status == 400
    assert 'role="alert"' in await answer.text()
    assert open_gate.mail.sent == []


async def test_a_closed_gate_has_no_form(world):
    assert (await world.client.get("/register")).status == 404
    assert (await send(world, "/register", "/login", **FORM)).status == 400
    assert "Create an account" not in await (await world.client.get("/login")).text()


@pytest.fixture
async def gate_for_invited(tmp_path):
    async with open_world(tmp_path, accounts=OPEN | {"registration": "invite"}) as world:
        yield world


async def test_founders_come_by_invitation(gate_for_invited):
    gate = gate_for_invited
    admin = await gate.person("ada@example.com", "admin")
    assert (await gate.client.get("/register")).status == 404
    assert "Create an account" not in await (await gate.client.get("/login")).text()
    await gate.services.team.invite(admin, None, FORM["email"], "owner")
    token, page = gate.mail.token, f"/register?token={gate.mail.token}"
    for odd in ({"token": "a" * 43}, {"token": ""}, {"token": token, "email": "other@hooli.example"}):
        assert (await send(gate, "/register", page, **(FORM | odd))).status == 400
    assert (await gate.log_in("other@hooli.example")).status == 401
    assert (await send(gate, "/register", page, token=token, **FORM)).status == 200
    assert (await gate.log_in(FORM["email"])).status == 303  # the message proved the address
    assert "Hooli" in await (await gate.client.get("/portal")).text()


async def test_a_forgotten_password(world):
    await world.person("ada@example.com", "owner", "acme")
    known = await (await send(world, "/forgot", email="ada@example.com")).text()
    assert await (await send(world, "/forgot", email="eve@example.com")).text() == known
    assert len(world.mail.sent) == 1
    token = world.mail.token
    assert (await send(world, "/reset", f"/reset?token={token}", token=token, password="short")).status == 400
    answer = await send(world, "/reset", f"/reset?token={token}", token=token, password="another long one")
    assert answer.status == 303
    assert (await world.client.get("/portal")).status == 200
    assert (await send(world, "/reset", "/portal/keys", token=token, password="another long one")).status == 410


async def test_messages_are_not_a_flood(world):
    statuses = [(await send(world, "/forgot", email="ada@example.com")).status for _ in range(8)]
    assert statuses[-1] == 429


@pytest.mark.parametrize("path", ["/reset", "/invite"])
async def test_forms_that_hash_a_password_are_slowed_down_without_a_good_link(world, path):
    csrf = await world.csrf()
    fields = {"csrf": csrf, "token": "a" * 43, "name": "Eve", "password": PASSWORD}
    statuses = [(await world.client.post(path, data=fields)).status for _ in range(31)]
    assert statuses == [410] * 30 + [429]


@pytest.mark.parametrize("path", ["/verify", "/reset", "/invite"])
@pytest.mark.parametrize("token", ["", "x", "\x00" * 20, "a" * 4000, "a" * 43])
async def test_odd_tokens_open_nothing(world, path, token):
    fields = {"token": token, "name": "Eve", "password": PASSWORD}
    assert (await send(world, path, **fields)).status in (400, 410)


async def test_invite_join_and_leave(world):
    await world.enter("owner", "acme")
    answer = await send(world, "/portal/team/invite", "/portal/team", email="bob@acme.example", role="member")
    assert answer.status == 303
    token = world.mail.token
    assert "bob@acme.example" in await (await world.client.get("/portal/team")).text()
    await send(world, "/logout", "/portal/team")
    page = f"/invite?token={token}"
    assert (await send(world, "/invite", page, token=token, name="Bob", password=PASSWORD)).status == 303
    assert "Acme" in await (await world.client.get("/portal")).text()
    assert (await send(world, "/portal/team/invite", "/portal/team", email="x@y.example", role="member")).status == 403
    await send(world, "/logout", "/portal")
    assert (await world.log_in("owner-acme@example.com")).status == 303
    bob = await world.accounts.find("bob@acme.example")
    assert (await send(world, "/portal/team/role", "/portal/team", person=bob.id, role="admin")).status == 303
    assert (await send(world, "/portal/team/disable", "/portal/team", person=bob.id)).status == 303
    await send(world, "/logout", "/portal")
    assert (await world.log_in("bob@acme.example")).status == 401


async def test_teams_do_not_reach_into_one_another(world):
    stranger = await world.person("s@globex.example", "member", "globex")
    await world.enter("owner", "acme")
    for action in ("role", "disable", "enable"):
        fields = {"person": stranger.id, "role": "admin"}
        assert (await send(world, f"/portal/team/{action}", "/portal/team", **fields)).status == 404
    assert (await send(world, "/portal/team/withdraw", "/portal/team", invitation="ivt_x")).status == 404
    assert (await send(world, "/portal/team/role", "/portal/team", person="x", role="finance")).status == 400
    assert (await send(world, "/admin/people/invite", "/portal/team", email="a@b.example", role="admin")).status == 404
    assert stranger.email not in await (await world.client.get("/portal/team")).text()


async def test_an_admin_does_not_touch_owners(world):
    owner = await world.person("top@acme.example", "owner", "acme")
    await world.enter("admin", "acme")
    fields = {"person": owner.id, "role": "member"}
    assert (await send(world, "/portal/team/role", "/portal/team", **fields)).status == 403
    assert (await send(world, "/portal/team/invite", "/portal/team", email="x@y.example", role="owner")).status == 403


async def test_the_last_owner_stays(world):
    owner = await world.enter("owner", "acme")
    await world.client.post("/logout", data={"csrf": await world.csrf("/portal/team")})
    await world.enter("admin")
    answer = await send(world, "/admin/tenants/acme/team/disable", "/admin/tenants/acme/team", person=owner.id)
    assert answer.status == 409
    assert "last owner" in await answer.text()
