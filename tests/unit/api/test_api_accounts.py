"""People: register, verify, log in, refresh, forget, join; teams keep an owner; nothing names who has an account."""

from support.api_world import PASSWORD, ApiWorld

from gateway.clock import DAY_US, HOUR_US

NEW = {"organisation": "Ünïted Ltd", "name": "Ada", "email": "ada@new.example", "password": PASSWORD}


async def log_in(world: ApiWorld, email: str, password: str = PASSWORD) -> tuple[int, dict[str, object]]:
    status, found, _ = await world.ask("POST", "/auth/login", {"email": email, "password": password})
    return status, found


async def test_register_verify_log_in_and_make_a_key(world: ApiWorld) -> None:
    assert (await world.ask("POST", "/auth/register", NEW))[:2] == (202, {"status": "accepted"})
    assert (await log_in(world, NEW["email"]))[1]["code"] == "email_unverified"
    assert (await log_in(world, NEW["email"], "wrong password"))[1]["code"] == "invalid_credentials"
    token = world.mails.token()
    status, person, _ = await world.ask("POST", "/auth/verify", {"token": token})
    assert (status, person["email"], person["role"]) == (200, "ada@new.example", "owner")
    assert (await world.ask("POST", "/auth/verify", {"token": token}))[0] == 410
    status, session = await log_in(world, "ADA@new.example")
    assert status == 200
    access = str(session["access_token"])
    assert (await world.ask("GET", "/auth/me", token=access))[1]["user"]["tenant"].startswith("ten_")
    status, made, _ = await world.ask("POST", "/keys", {"name": "server"}, access)
    assert status == 201
    status, limits, _ = await world.ask("GET", "/self/limits", token=made["secret"])
    assert (status, limits) == (200, {"data": []})


async def test_registering_twice_looks_the_same(world: ApiWorld) -> None:
    first = (await world.ask("POST", "/auth/register", NEW))[:2]
    again = (await world.ask("POST", "/auth/register", NEW | {"organisation": "Other"}))[:2]
    assert first == again
    assert [mail.subject for mail in world.mails] == ["Confirm your e-mail address", "You have an account already"]
    assert len((await world.ask("GET", "/tenants", token=await world.enter("admin")))[1]["data"]) == 3
    known = (await world.ask("POST", "/auth/reset", {"email": NEW["email"]}))[:2]
    assert known == (await world.ask("POST", "/auth/reset", {"email": "nobody@new.example"}))[:2]


async def test_a_refresh_token_works_once_and_its_copy_ends_the_session(world: ApiWorld) -> None:
    await world.enter("owner", "acme")
    first = await world.services.sessions.open(world.people["owner@acme"], "")
    status, second, _ = await world.ask("POST", "/auth/refresh", {"refresh_token": first.refresh})
    assert status == 200
    assert (await world.ask("GET", "/auth/me", token=second["access_token"]))[0] == 200
    assert (await world.ask("POST", "/auth/refresh", {"refresh_token": first.refresh}))[0] == 401
    assert (await world.ask("GET", "/auth/me", token=second["access_token"]))[0] == 401
    assert (await world.ask("POST", "/auth/refresh", {"refresh_token": second["refresh_token"]}))[0] == 401


async def test_a_forgotten_password(world: ApiWorld) -> None:
    token = await world.enter("owner", "acme")
    await world.ask("POST", "/auth/reset", {"email": "owner@acme.example"})
    link = world.mails.token()
    assert (await world.ask("POST", "/auth/verify", {"token": link}))[0] == 410  # it is not for that
    assert (await world.ask("POST", "/auth/reset/confirm", {"token": link, "password": "short"}))[0] == 422
    assert (await world.ask("POST", "/auth/reset/confirm", {"token": link, "password": PASSWORD}))[0] == 200
    assert (await world.ask("GET", "/auth/me", token=token))[0] == 401
    assert (await log_in(world, "owner@acme.example"))[0] == 200
    assert (await world.ask("POST", "/auth/reset/confirm", {"token": link, "password": PASSWORD}))[0] == 410
    await world.ask("POST", "/auth/reset", {"email": "owner@acme.example"})
    world.clock.advance(HOUR_US)
    late = {"token": world.mails.token(), "password": PASSWORD}
    assert (await world.ask("POST", "/auth/reset/confirm", late))[0] == 410


async def test_join_by_invitation(world: ApiWorld) -> None:
    owner, admin = await world.enter("owner", "acme"), await world.enter("admin", "acme")
    ask = {"email": "New@acme.example", "role": "owner"}
    assert (await world.ask("POST", "/invitations", ask, admin))[1]["code"] == "forbidden"
    assert (await world.ask("POST", "/invitations", {"email": "x@y.example", "role": "support"}, owner))[0] == 422
    status, invitation, _ = await world.ask("POST", "/invitations", ask, owner)
    assert (status, invitation["status"], "token" in str(invitation)) == (201, "open", False)
    join = {"token": world.mails.token(), "name": "Nia", "password": PASSWORD}
    status, person, _ = await world.ask("POST", "/auth/join", join)
    assert (status, person["email"], person["role"], person["tenant"]) == (201, "new@acme.example", "owner", "acme")
    assert (await world.ask("POST", "/auth/join", join))[0] == 410
    await world.ask("POST", "/invitations", {"email": "late@acme.example", "role": "member"}, owner)
    join["token"] = world.mails.token()
    world.clock.advance(7 * DAY_US)
    assert (await world.ask("POST", "/auth/join", join))[0] == 410


async def test_an_invited_founder(world: ApiWorld) -> None:
    admin = await world.enter("admin")
    await world.ask("POST", "/invitations", {"email": NEW["email"], "role": "owner"}, admin)
    token = world.mails.token()
    other = NEW | {"email": "other@new.example", "invitation": token}
    assert (await world.ask("POST", "/auth/register", other))[0] == 410
    assert (await world.ask("POST", "/auth/register", NEW | {"invitation": token}))[0] == 202
    assert (await log_in(world, NEW["email"]))[0] == 200  # the message proved the address
    assert (await world.ask("POST", "/auth/register", NEW | {"invitation": token}))[0] == 410


async def test_a_team_keeps_an_owner_and_nobody_changes_themselves(world: ApiWorld) -> None:
    owner, admin = await world.enter("owner", "acme"), await world.enter("admin", "acme")
    platform = await world.enter("admin")
    id = world.people["owner@acme"].id
    assert (await world.ask("PATCH", f"/users/{id}", {"role": "member"}, owner))[1]["code"] == "conflict"
    assert (await world.ask("PATCH", f"/users/{id}", {"role": "member"}, admin))[1]["code"] == "forbidden"
    status, found, _ = await world.ask("PATCH", f"/users/{id}", {"status": "disabled"}, platform, X_Tenant_Id="acme")
    assert (status, found["code"]) == (409, "last_owner")
    mine = world.people["admin@acme"].id
    assert (await world.ask("PATCH", f"/users/{mine}", {"role": "owner"}, admin))[0] in (403, 409)
    assert (await world.ask("PATCH", f"/users/{mine}", {"role": "owner"}, owner))[1]["role"] == "owner"
    assert (await world.ask("PATCH", f"/users/{id}", {"role": "member"}, admin))[0] == 200
    assert (await world.ask("PATCH", f"/users/{id}", {"role": "support"}, admin))[0] == 422


async def test_closed_registration(world: ApiWorld) -> None:
    accounts = world.services.snapshot().source["accounts"]
    assert isinstance(accounts, dict)
    accounts["registration"] = "closed"
    assert (await world.ask("POST", "/auth/register", NEW))[1]["code"] == "registration_closed"
    assert world.mails == []
