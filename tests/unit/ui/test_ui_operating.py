"""The operator's working pages: tenants made and moved, audit, configuration, outbox, reconciliation."""

import pytest

from gateway.storage.ports import PLATFORM


async def send(world, path, page="/account", **fields):
    data = {"csrf": await world.csrf(page)} | fields
    return await world.client.post(path, data=data, allow_redirects=False)


async def page(world, path):
    answer = await world.client.get(path)
    assert answer.status == 200
    return await answer.text()


async def test_a_tenant_from_making_to_closing(world):
    await world.enter("admin")
    fields = {"name": "Hooli", "plan": "free", "timezone": "Europe/Berlin"}
    answer = await send(world, "/admin/new-tenant", "/admin/new-tenant", **fields)
    here = answer.headers["Location"]
    assert "Hooli" in await page(world, here)
    for action, status in (("suspend", "suspended"), ("reopen", "active"), ("close", "closed")):
        assert (await send(world, f"{here}/state/{action}")).status == 303
        assert (await world.store.tenants.get(PLATFORM, here.rpartition("/")[2])).status == status
    assert (await send(world, f"{here}/state/reopen")).status == 404
    assert (await send(world, f"{here}/state/explode")).status == 404
    text = await page(world, f"{here}/audit")
    assert "tenant: created" in text
    assert "admin-none@example.com" in text


@pytest.mark.parametrize("name", ["👩\u200d🔬 Labs", "می\u200cخواهم", "株式会社\u3000銀河", "Société\u00a0Générale"])
async def test_names_of_every_script(world, name):
    await world.enter("admin")
    answer = await send(world, "/admin/new-tenant", name=name, plan="free", timezone="UTC")
    assert answer.status == 303
    made = await world.store.tenants.get(PLATFORM, answer.headers["Location"].rpartition("/")[2].partition("?")[0])
    assert made.name == name


@pytest.mark.parametrize(
    "fields", [{"name": ""}, {"name": "a\x00"}, {"name": "a\u202eb"}, {"plan": "none"}, {"timezone": "Mars/Base"}]
)
async def test_odd_tenants_are_refused(world, fields):
    await world.enter("admin")
    good = {"name": "Hooli", "plan": "free", "timezone": "UTC"}
    assert (await send(world, "/admin/new-tenant", **(good | fields))).status == 400
    assert len((await world.store.tenants.list(PLATFORM)).rows) == 2


@pytest.mark.parametrize("role", ["finance", "support"])
async def test_others_only_look(world, role):
    await world.enter(role)
    assert (await send(world, "/admin/new-tenant", name="x", plan="free", timezone="UTC")).status == 403
    assert (await send(world, "/admin/tenants/acme/state/close")).status == 403
    assert (await world.client.get("/admin/outbox")).status == 403
    assert "Close for good" not in await page(world, "/admin/tenants/acme")


async def test_the_configuration_without_secrets(world):
    await world.enter("admin")
    text = await page(world, "/admin/config")
    assert "127.0.0.1:9001" in text
    assert "sqlite:///" not in text
    assert "(hidden)" in text


async def test_messages_wait_in_the_outbox(world):
    await world.enter("admin")
    await send(world, "/admin/tenants/acme/team/invite", email="bob@acme.example", role="owner")
    assert "bob@acme.example" in await page(world, "/admin/outbox")


async def test_reconciliation_shows_each_difference(world):
    await world.enter("support")
    assert "Nobody has compared" in await page(world, "/admin/reconcile")
    text = await (await send(world, "/admin/reconcile")).text()
    assert "Difference 3" in text
    assert "acme weather: expected 5, found 2" in text
    assert "Difference 3" in await page(world, "/admin/reconcile")
    assert "gateway hosts retire host-gone" in text


async def test_a_tenants_audit_is_its_own(world):
    await world.enter("owner", "globex")
    await send(world, "/portal/keys", "/portal/keys", name="theirs")
    await send(world, "/logout")
    await world.enter("owner", "acme")
    await send(world, "/portal/keys", "/portal/keys", name="ours")
    text = await page(world, "/portal/audit")
    assert "name ours" in text
    assert "theirs" not in text
    assert (await world.client.get("/portal/audit?after=x")).status == 400


async def test_targets_show_whether_they_take_calls(world):
    await world.enter("admin")
    assert "takes calls" in await page(world, "/admin/routes")
