"""Keys, tenants, usage, calls: the whole life of each, repeats, preconditions and pages."""

import asyncio

from support.api_world import ApiWorld

from gateway.clock import SECOND_US


async def test_the_life_of_a_key(world: ApiWorld) -> None:
    token = await world.enter("owner", "acme")
    _, made, _ = await world.ask("POST", "/keys", {"name": "server", "addresses": ["127.0.0.0/8"]}, token)
    id = made["key"]["id"]
    assert made["secret"].startswith("gk_live_")
    assert made["secret"] not in str((await world.ask("GET", "/keys", token=token))[1])
    assert (await world.ask("GET", "/self/usage", token=made["secret"]))[0] == 200
    assert (await world.ask("GET", "/self/usage", X_API_Key=made["secret"]))[0] == 200
    assert (await world.ask("GET", "/keys", token=made["secret"]))[0] == 401
    status, changed, _ = await world.ask("PATCH", f"/keys/{id}", {"addresses": ["10.0.0.1"]}, token)
    assert (status, changed["addresses"]) == (200, ["10.0.0.1/32"])
    assert (await world.ask("GET", "/self/usage", token=made["secret"]))[0] == 401
    await world.ask("PATCH", f"/keys/{id}", {"addresses": []}, token)
    _, new, _ = await world.ask("POST", f"/keys/{id}/rotate", {"overlap_seconds": 60}, token)
    assert {(await world.ask("GET", "/self/usage", token=one["secret"]))[0] for one in (made, new)} == {200}
    world.clock.advance(60 * SECOND_US)
    assert (await world.ask("GET", "/self/usage", token=made["secret"]))[0] == 401
    assert (await world.ask("PATCH", f"/keys/{id}", {"name": "x"}, token))[1]["code"] == "key_ended"
    assert (await world.ask("DELETE", f"/keys/{new['key']['id']}", token=token))[0] == 204
    assert (await world.ask("GET", "/self/usage", token=new["secret"]))[0] == 401
    states = [key["status"] for key in (await world.ask("GET", "/keys", token=token))[1]["data"]]
    assert sorted(states) == ["expired", "revoked"]
    actions = [one["action"] for one in (await world.ask("GET", "/audit", token=token))[1]["data"]]
    assert actions[:3] == ["key.revoked", "key.rotated", "key.changed"]


async def test_members_change_their_own_keys_only(world: ApiWorld) -> None:
    owner, member = await world.enter("owner", "acme"), await world.enter("member", "acme")
    _, theirs, _ = await world.ask("POST", "/keys", {"name": "owner's"}, owner)
    _, mine, _ = await world.ask("POST", "/keys", {"name": "mine"}, member)
    assert (await world.ask("DELETE", f"/keys/{theirs['key']['id']}", token=member))[1]["code"] == "forbidden"
    assert (await world.ask("POST", f"/keys/{mine['key']['id']}/rotate", {}, member))[0] == 201


async def test_a_repeated_request_is_done_once(world: ApiWorld) -> None:
    token, other = await world.enter("owner", "acme"), await world.enter("admin", "acme")
    asked = [world.ask("POST", "/keys", {"name": "a"}, token, Idempotency_Key="one") for _ in range(8)]
    answers = await asyncio.gather(*asked)
    done = {answer["secret"] for status, answer, _ in answers if status == 201}
    assert len(done) == 1
    assert {status for status, _, _ in answers} <= {201, 409}
    status, again, headers = await world.ask("POST", "/keys", {"name": "a"}, token, Idempotency_Key="one")
    assert (status, {again["secret"]}, headers["Idempotent-Replayed"]) == (201, done, "true")
    status, found, _ = await world.ask("POST", "/keys", {"name": "b"}, token, Idempotency_Key="one")
    assert (status, found["code"]) == (422, "idempotency_mismatch")
    assert (await world.ask("POST", "/keys", {"name": "a"}, other, Idempotency_Key="one"))[0] == 201
    first = (await world.ask("POST", "/keys", {"name": ""}, token, Idempotency_Key="bad"))[:2]
    assert first == (await world.ask("POST", "/keys", {"name": ""}, token, Idempotency_Key="bad"))[:2]
    assert (await world.ask("POST", "/keys", {"name": "a"}, token, Idempotency_Key="x" * 256))[0] == 400
    assert len((await world.ask("GET", "/keys", token=token))[1]["data"]) == 2
    raw = world.config.with_name("api.db").read_bytes() + world.config.with_name("api.db-wal").read_bytes()
    assert next(iter(done)).encode() not in raw  # sealed


async def test_preconditions(world: ApiWorld) -> None:
    token = await world.enter("owner", "acme")
    _, before, headers = await world.ask("GET", "/tenants/acme/settings", token=token)
    tag = headers["ETag"]
    assert (await world.ask("GET", "/tenants/acme/settings", token=token, If_None_Match=tag))[0] == 304
    path, body = "/tenants/acme/settings", {"locale": "de-AT"}
    assert (await world.ask("PATCH", path, body, token, If_Match='"other"'))[0] == 412
    both = await asyncio.gather(
        *(world.ask("PATCH", path, {"locale": one}, token, If_Match=tag) for one in ("fr", "it"))
    )
    assert sorted(status for status, _, _ in both) == [200, 412]
    assert before == {"locale": None, "date_format": None, "timezone": "UTC"}


async def test_what_the_configuration_owns(world: ApiWorld) -> None:
    admin, owner = await world.enter("admin"), await world.enter("owner", "acme")
    status, found, _ = await world.ask("PATCH", "/tenants/acme", {"name": "New"}, admin)
    assert (status, found["code"]) == (409, "managed_by_config")
    assert "gateway.yaml:15" in found["detail"]
    status, found, _ = await world.ask("PATCH", "/tenants/acme/settings", {"timezone": "Asia/Tokyo"}, owner)
    assert (status, found["code"]) == (409, "managed_by_config")


async def test_the_life_of_a_tenant(world: ApiWorld) -> None:
    admin = await world.enter("admin")
    _, made, headers = await world.ask("POST", "/tenants", {"name": "Neu", "plan": "free"}, admin)
    path = f"/tenants/{made['id']}"
    assert headers["Location"] == f"/api/v1{path}"
    assert (await world.ask("POST", "/tenants", {"name": "Neu", "plan": "no"}, admin))[0] == 422
    body = {"name": "Neuer", "timezone": "Asia/Kathmandu", "limits": {"slow": {"max": 99}}}
    assert (await world.ask("PATCH", path, body, admin))[1]["limits"] == {"slow": {"max": 99}}
    assert (await world.ask("POST", f"{path}/suspend", token=admin))[1]["status"] == "suspended"
    assert (await world.ask("POST", f"{path}/reopen", token=admin))[1]["status"] == "active"
    assert (await world.ask("POST", f"{path}/close", token=admin))[1]["status"] == "closed"
    assert (await world.ask("POST", f"{path}/reopen", token=admin))[1]["code"] == "tenant_closed"
    status, found, _ = await world.ask("POST", "/keys", {"name": "k"}, admin, X_Tenant_Id=made["id"])
    assert (status, found["code"]) == (409, "tenant_closed")


async def test_usage_and_pages_of_calls(world: ApiWorld) -> None:
    owner, admin = await world.enter("owner", "acme"), await world.enter("admin")
    await world.post_calls("acme", 120)
    await world.post_calls("globex", 7)
    assert (await world.ask("GET", "/usage", token=owner))[1]["total"]["units"] == {"calls": 120}
    assert (await world.ask("GET", "/usage", token=admin))[1]["total"]["calls"] == 127
    history = (await world.ask("GET", "/usage/history", token=owner))[1]["data"]
    assert [len(history), history[-1]["total"]["calls"]] == [12, 120]
    days = (await world.ask("GET", "/usage/series", token=owner))[1]["data"]
    assert sum(day["total"]["calls"] for day in days) == 120
    for by in ("key", "route", "status"):
        rows = (await world.ask("GET", f"/usage/breakdown?by={by}", token=owner))[1]["data"]
        assert [row["total"]["calls"] for row in rows] == [120]
    seen, after = [], ""
    while True:
        page = (await world.ask("GET", f"/calls?limit=50{after}", token=owner))[1]
        seen += [call["id"] for call in page["data"]]
        if page["next"] is None:
            break
        after = f"&after={page['next']}"
    assert len(set(seen)) == len(seen) == 120
    assert (await world.ask("GET", f"/calls/{seen[0]}", token=owner))[1]["data"][0]["id"] == seen[0]


async def test_an_invoice_as_a_document(world: ApiWorld) -> None:
    owner, member = await world.enter("owner", "acme"), await world.enter("member", "acme")
    await world.services.billing.run()
    (invoice,) = (await world.ask("GET", "/invoices", token=owner))[1]["data"]
    path = f"/invoices/{invoice['id']}"
    begins = {"pdf": (b"%PDF-", "application/pdf"), "html": (b"<!doctype html>", "text/html"), "csv": (b"invoice,", "")}
    for form, (start, content_type) in begins.items():
        status, body, headers = await world.ask("GET", f"{path}/{form}", token=member)
        assert (status, body[: len(start)]) == (200, start)
        assert headers["Content-Type"].startswith(content_type)
        assert headers["Content-Disposition"].endswith(f'filename="{invoice["number"]}.{form}"')
        again = await world.ask("GET", f"{path}/{form}", token=member, If_None_Match=headers["ETag"])
        assert again[:2] == (304, b"")  # the same invoice, the same bytes
        assert (await world.ask("GET", f"{path}/{form}", token=await world.enter("owner", "globex")))[0] == 404
        assert (await world.ask("GET", f"/invoices/inv_none/{form}", token=member))[0] == 404
    assert (await world.ask("GET", f"{path}/xlsx", token=member))[0] == 404


async def test_billing_from_subscription_to_credit_note(world: ApiWorld) -> None:
    owner, admin = await world.enter("owner", "acme"), await world.enter("admin")
    await world.services.billing.run()
    _, subscription, _ = await world.ask("GET", "/subscription", token=owner)
    assert (subscription["plan"], subscription["state"]) == ("pro", "active")
    _, invoices, _ = await world.ask("GET", "/invoices", token=owner)
    (invoice,) = invoices["data"]
    path = f"/invoices/{invoice['id']}"
    assert (await world.ask("GET", path, token=owner))[1]["lines"]
    assert (await world.ask("GET", f"{path}/verification", token=owner))[1]["holds"] is True
    assert (await world.ask("GET", path, token=await world.enter("owner", "globex")))[0] == 404
    _, announced, _ = await world.ask("POST", f"{path}/pay", {"amount": "1", "reference": "bank 7"}, owner)
    assert (announced["status"], announced["payment"]["status"], announced["state"]) == ("pending", "pending", "open")
    assert announced["instructions"][-1] == f"Reference: {invoice['number']}"
    assert (await world.ask("POST", f"{path}/pay", {"credit_excess": True}, owner))[0] == 422
    told = f"/payments/{announced['payment']['id']}"
    assert (await world.ask("POST", f"{told}/confirm", {}, owner))[0] == 403
    assert (await world.ask("POST", f"{told}/confirm", {}, admin, X_Tenant_Id="globex"))[0] == 404
    _, waiting, _ = await world.ask("GET", "/payments?status=pending", token=admin)
    assert [one["id"] for one in waiting["data"]] == [announced["payment"]["id"]]
    assert (await world.ask("GET", "/payments", token=await world.enter("owner", "globex")))[1]["data"] == []
    half = {"amount": "1", "reference": "bank 7"}
    paid = [(await world.ask("POST", f"{path}/pay", half, admin))[1]["paid"]["amount"] for _ in range(2)]
    assert [float(one) for one in paid] == [1.0, 1.0]
    assert (await world.ask("POST", f"{told}/reject", {}, admin))[1]["code"] == "conflict"
    _, more, _ = await world.ask("POST", f"{path}/pay", {"amount": "2"}, owner)
    _, done, _ = await world.ask("POST", f"/payments/{more['payment']['id']}/reject", {"reason": "no"}, admin)
    assert (done["payment"]["status"], done["payment"]["note"], done["invoice"]["paid"]["amount"]) == (
        "rejected", "no", "1.00"
    )  # fmt: skip
    assert (await world.ask("POST", f"{path}/pay", {}, admin))[1]["state"] == "paid"
    assert (await world.ask("POST", f"{path}/void", {}, admin))[1]["code"] == "conflict"
    _, note, _ = await world.ask("POST", f"{path}/credit-notes", {"amount": "2", "reason": "sorry"}, admin)
    assert note["total"] == {"amount": note["total"]["amount"], "currency": "USD"}
    status, found, _ = await world.ask("POST", "/subscription/change", {"plan": "free"}, owner)
    assert (status, found["code"]) == (409, "managed_by_config")
    assert (await world.ask("POST", "/subscription/preview", {"plan": "free"}, owner))[0] == 200
    assert (await world.ask("POST", "/invoices/calculate", token=owner))[1]["state"] == "draft"


async def test_lists_by_filters(world: ApiWorld) -> None:
    admin, owner = await world.enter("admin"), await world.enter("owner", "acme")
    await world.ask("POST", "/tenants/globex/suspend", token=admin)
    for query, ids in (("status=suspended", ["globex"]), ("status=active", ["acme"]), ("plan=free", ["globex"]),
                       ("plan=pro&status=suspended", []), ("", ["acme", "globex"])):  # fmt: skip
        found = (await world.ask("GET", f"/tenants?{query}", token=admin))[1]["data"]
        assert [one["id"] for one in found] == ids, query
    assert (await world.ask("GET", "/tenants?status=asleep", token=admin))[0] == 422
    _, made, _ = await world.ask("POST", "/keys", {"name": "one"}, owner)
    await world.ask("DELETE", f"/keys/{made['key']['id']}", token=owner)
    me = world.people["owner@acme"].id
    for query, actions in (("action=key.", ["key.revoked", "key.created"]), ("action=key.created", ["key.created"]),
                           (f"target={made['key']['id']}&actor={me}", ["key.revoked", "key.created"]),
                           ("actor=nobody", []), ("action=key%25", []), ("action=key.&until=2020-01-01T00:00:00Z", []),
                           ("action=key.&since=2026-11-20T00:00:00Z&limit=1", ["key.revoked"])):  # fmt: skip
        found = (await world.ask("GET", f"/audit?{query}", token=owner))[1]["data"]
        assert [one["action"] for one in found] == actions, query
    await world.services.billing.run()
    assert len((await world.ask("GET", "/invoices?state=open", token=admin))[1]["data"]) >= 1
    assert (await world.ask("GET", "/invoices?state=void", token=admin))[1]["data"] == []
