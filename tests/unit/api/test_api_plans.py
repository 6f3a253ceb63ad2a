"""Plans made through the API: checked like the configuration's, versioned by content, billed and limited by."""

from typing import Any

from support.api_world import ApiWorld

from gateway.storage.ports import PLATFORM

GOLD = {
    "billing": {"month": {"amount": "25"}},
    "trial": "7d",
    "limits": [{"name": "monthly", "meter": "calls", "max": 500, "per": "month"}],
    "prices": [{"type": "per_unit", "meter": "calls", "unit": "0.02"}],
}


async def test_a_plan_is_made_used_and_changed(world: ApiWorld) -> None:
    admin = await world.enter("admin")
    status, made, _ = await world.ask("POST", "/plans", {"name": "gold"} | GOLD, admin)
    assert (status, made["source"], made["month"]["amount"], made["trial_days"]) == (201, "store", "25.00", 7)
    assert made["limits"][0]["max"] == 500
    assert (await world.ask("POST", "/plans", {"name": "gold"} | GOLD, admin))[0] == 409
    _, again, _ = await world.ask("PUT", "/plans/gold", GOLD, admin)
    assert again == made
    _, tenant, _ = await world.ask("POST", "/tenants", {"name": "Hooli", "plan": "gold"}, admin)
    await world.services.billing.run()
    row = await world.services.billing.subscription(PLATFORM, tenant["id"])
    assert (row.plan, row.state) == ("gold", "trialing")
    _, changed, _ = await world.ask("PUT", "/plans/gold", GOLD | {"billing": {"month": {"amount": "30"}}}, admin)
    assert changed["version"] != made["version"]
    assert (await world.ask("GET", "/plans/gold", token=admin))[1] == changed
    await world.services.billing.run()
    assert (await world.services.billing.subscription(PLATFORM, tenant["id"])).version == row.version
    entries = (await world.store.audit.list(PLATFORM, limit=50)).rows
    told = [entry.detail["version"] for entry in entries if entry.action == "plan.put"]
    assert told == [f"{made['version']} -> {changed['version']}", f"- -> {made['version']}"]
    plans = {one["name"]: one["source"] for one in (await world.ask("GET", "/plans", token=admin))[1]["data"]}
    assert plans == {"free": "yaml", "gold": "store", "pro": "yaml"}


async def test_the_configuration_s_plans_are_its_own_and_faults_name_their_field(world: ApiWorld) -> None:
    admin = await world.enter("admin")
    status, found, _ = await world.ask("PUT", "/plans/pro", GOLD, admin)
    assert (status, found["code"]) == (409, "managed_by_config")
    assert (await world.ask("POST", "/plans", {"name": "pro"} | GOLD, admin))[1]["code"] == "managed_by_config"
    assert (await world.ask("PUT", "/plans/none", GOLD, admin))[0] == 404
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"prices": [{"type": "per_unit", "meter": "calls", "unit": "x"}]}, "prices[0].unit"),
        ({"prices": [{"type": "magic"}]}, "prices[0]"),
        ({"prices": [{"type": "per_unit", "meter": "tokens", "unit": "1"}]}, "prices[0].meter"),
        ({"limits": [{"name": "a", "meter": "calls", "max": -1, "per": "month"}]}, "limits[0].max"),
        ({"billing": {"month": {"amount": "-1"}}}, "billing.month.amount"),
        ({"currency": "XXX"}, "currency"),
    ]
    for block, field in wrong:
        status, found, _ = await world.ask("POST", "/plans", {"name": "bad"} | block, admin)
        assert (status, found["code"]) == (422, "invalid"), block
        assert any(error["field"].startswith(field) for error in found["errors"]), (field, found["errors"])
    assert (await world.ask("POST", "/plans", {"name": "bad"} | GOLD, await world.enter("finance")))[0] == 403
    assert (await world.ask("POST", "/plans", {"name": "bad"} | GOLD, await world.enter("owner", "acme")))[0] == 404
