"""An API world with something of everything in it, for those who ask every operation."""

from support.api_world import ApiWorld

from gateway.accounts.throttle import LoginThrottle
from gateway.clock import DAY_US
from gateway.storage.ports import PLATFORM
from gateway.tenants.model import Tenant

SPARE = 12


class Lenient(LoginThrottle):
    """Lets everybody try as often as they like: here the operations are asked, not their doors."""

    def admit(self, account: str, address: str, now_us: int) -> int:
        return 0

    def admit_address(self, address: str, now_us: int) -> int:
        return 0


async def furnish(world: ApiWorld) -> dict[str, list[str]]:
    """People of every role, and the ids by parameter of what may be changed and ended by whoever asks."""
    for role in ("support", "finance"):
        await world.enter(role)
    await world.enter("member", "acme")
    await world.enter("admin", "acme")
    owner, admin = await world.enter("owner", "acme"), await world.enter("admin")
    await world.post_calls("acme", 40)
    ids: dict[str, list[str]] = {"tenant": ["acme"], "plan": ["pro", "free"], "line": ["1"], "spare_tenant": []}
    for n in range(SPARE):
        tenant = Tenant(f"spare{n}", f"Spare {n}", "free", source="store")
        await world.store.tenants.create(PLATFORM, tenant, world.clock.now())
        ids["spare_tenant"].append(tenant.id)
        person = await world.services.accounts.create_user(f"p{n}@acme.example", "member", "acme")
        ids.setdefault("user", []).append(person.id)
        for path, body, name, who in (
            ("/keys", {"name": f"k{n}"}, "key", owner),
            ("/invitations", {"email": f"i{n}@acme.example", "role": "member"}, "invitation", owner),
            ("/tokens", {"name": f"t{n}", "scopes": ["read"]}, "token", owner if n % 2 else admin),
        ):
            _, made, _ = await world.ask("POST", path, body, who)
            ids.setdefault(name, []).append(made["id"] if "id" in made else made[name]["id"])
    ids["secret"] = [(await world.ask("POST", "/keys", {"name": "self"}, owner))[1]["secret"]]
    ids["call"] = [call["id"] for call in (await world.ask("GET", "/calls", token=owner))[1]["data"][:5]]
    for _ in range(4):  # months of bills
        await world.services.billing.run()
        world.clock.advance(31 * DAY_US)
    world.tokens.clear()
    owner, admin = await world.session("owner@acme"), await world.session("admin")
    invoices = (await world.ask("GET", "/invoices?limit=200", token=owner))[1]["data"]
    ids["invoice"] = [invoice["id"] for invoice in invoices]
    for invoice in (one for one in invoices if one["state"] == "open"):
        _, paid, _ = await world.ask("POST", f"/invoices/{invoice['id']}/pay", {"amount": "1"}, owner)
        ids.setdefault("payment", []).append(paid["payment"]["id"])
        note = {"amount": "1", "reason": "sorry"}
        _, made, _ = await world.ask("POST", f"/invoices/{invoice['id']}/credit-notes", note, admin)
        ids.setdefault("note", []).append(made["id"])
    return ids
