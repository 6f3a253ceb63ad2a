"""People: register, verify, log in, refresh, forget, join; teams keep an owner; nothing names who has an account."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.api_world import PASSWORD, ApiWorld, open_api

from gateway.accounts.api_sessions import ABSOLUTE_US, IDLE_US
from gateway.accounts.mail import Mail
from gateway.clock import DAY_US, HOUR_US, MINUTE_US
from gateway.storage.ports import PLATFORM

NEW = {"organisation": "Ünïted Ltd", "name": "Ada", "email": "ada@new.example", "password": PASSWORD}


@pytest.fixture
async def world(tmp_path: Path, store_url: str) -> AsyncIterator[ApiWorld]:
    """On both stores."""
    async with open_api(tmp_path, store_url=store_url) as opened:
        yield opened


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


async def test_a_link_of_the_operator_sets_a_password_too(world: ApiWorld) -> None:
    await world.enter("owner", "acme")
    accounts = world.services.accounts
    link = await accounts.issue_link(world.people["owner@acme"], "invite", HOUR_US)
    assert (await world.ask("POST", "/auth/verify", {"token": link}))[0] == 410
    assert (await world.ask("POST", "/auth/reset/confirm", {"token": link, "password": PASSWORD}))[0] == 200
    assert (await log_in(world, "owner@acme.example"))[0] == 200


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


async def test_sessions_end_when_unused_and_in_any_case(world: ApiWorld) -> None:
    await world.enter("owner", "acme")
    used = await world.services.sessions.open(world.people["owner@acme"], "")
    idle = await world.services.sessions.open(world.people["owner@acme"], "")
    world.clock.advance(IDLE_US - MINUTE_US)
    status, pair, _ = await world.ask("POST", "/auth/refresh", {"refresh_token": used.refresh})
    assert status == 200
    world.clock.advance(MINUTE_US)
    assert (await world.ask("POST", "/auth/refresh", {"refresh_token": idle.refresh}))[0] == 401
    for _ in range(ABSOLUTE_US // IDLE_US - 1):
        world.clock.advance(IDLE_US - 10 * MINUTE_US)
        status, pair, _ = await world.ask("POST", "/auth/refresh", {"refresh_token": pair["refresh_token"]})
        assert status == 200
    world.clock.advance(HOUR_US)
    assert (await world.ask("POST", "/auth/refresh", {"refresh_token": pair["refresh_token"]}))[0] == 401


async def test_two_refreshes_at_once_are_one_and_a_copy(world: ApiWorld) -> None:
    await world.enter("owner", "acme")
    first = await world.services.sessions.open(world.people["owner@acme"], "")
    asked = [world.ask("POST", "/auth/refresh", {"refresh_token": first.refresh}) for _ in range(4)]
    statuses = [status for status, _, _ in await asyncio.gather(*asked)]
    assert statuses.count(200) <= 1
    assert (await world.ask("GET", "/auth/me", token=first.access))[0] == 401


async def test_one_address_that_registers_many_times_at_once(world: ApiWorld) -> None:
    asked = [world.ask("POST", "/auth/register", NEW | {"organisation": f"Org {n}"}) for n in range(4)]
    assert {status for status, _, _ in await asyncio.gather(*asked)} == {202}
    tenants = (await world.ask("GET", "/tenants", token=await world.enter("admin")))[1]["data"]
    assert len([one for one in tenants if one["name"].startswith("Org ")]) == 1  # nothing half-made is left behind
    assert len({mail.subject for mail in world.mails}) == 2


async def test_asking_for_a_password_is_answered_before_anybody_looks(world: ApiWorld) -> None:
    await world.enter("owner", "acme")
    looked, go = [], asyncio.Event()
    send = world.mails.send

    async def slow(mail: Mail) -> None:
        looked.append(mail.to)
        await go.wait()
        await send(mail)

    world.mails.send = slow  # type: ignore[method-assign]
    world.services.registration.forgot("owner@acme.example")
    assert looked == []
    go.set()
    await world.services.registration.settle()
    assert looked == ["owner@acme.example"]
    assert len(world.mails) == 1


async def test_a_founding_invitation_is_not_used_up_by_joining(world: ApiWorld) -> None:
    await world.ask("POST", "/invitations", {"email": NEW["email"], "role": "owner"}, await world.enter("admin"))
    token = world.mails.token()
    joined = await world.ask("POST", "/auth/join", {"token": token, "name": "A", "password": PASSWORD})
    assert (joined[0], joined[1]["code"]) == (410, "link_expired")
    assert (await world.ask("POST", "/auth/register", NEW | {"invitation": token}))[0] == 202
    audit = await world.store.audit.list(PLATFORM, 50)
    assert [one.action for one in audit.rows].count("tenant.registered") == 1
