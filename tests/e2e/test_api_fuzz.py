"""Schemathesis over the OpenAPI document: no 5xx, no undocumented status, no answer beside its schema.

``PROVE=1`` asks long, by every kind of caller, over both stores; by default a few requests to each operation.
"""

import asyncio
import itertools
import json
import os
import re
import sys
from pathlib import Path

import pytest
from support.api_world import ApiWorld, open_api

from gateway.accounts.throttle import LoginThrottle
from gateway.api.admission import Admission
from gateway.clock import DAY_US
from gateway.storage.ports import PLATFORM
from gateway.tenants.model import Tenant

PROVE = os.environ.get("PROVE") == "1"
SUPPORT = Path(__file__).parents[1] / "support"
CALLERS = ("owner@acme", "admin", "support", "member@acme", "key", "nobody") if PROVE else ("owner@acme", "admin")
HOW = ("--phases", "coverage,fuzzing,stateful", "-n", "60") if PROVE else ("--phases", "fuzzing", "-n", "2")
LAST = ("logout", "cancelSubscription")
"""What would leave the others nothing to do is asked at the end."""
CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,"
    "response_schema_conformance,negative_data_rejection,unsupported_method,allow_header_conformance,ignored_auth"
)
SPARE = 12


class Lenient(LoginThrottle):
    """Lets everybody try as often as they like: here the operations are asked, not their doors."""

    def admit(self, account: str, address: str, now_us: int) -> int:
        return 0

    def admit_address(self, address: str, now_us: int) -> int:
        return 0


async def furnish(world: ApiWorld) -> dict[str, list[str]]:
    """Something of everything, and the ids of what may be changed and ended by whoever asks."""
    owner, admin = await world.enter("owner", "acme"), await world.enter("admin")
    await world.enter("member", "acme")
    await world.enter("support")
    await world.post_calls("acme", 40)
    await world.services.billing.run()
    ids: dict[str, list[str]] = {"tenant": ["acme"], "plan": ["pro", "free"]}
    tenants = [Tenant(f"spare{n}", f"Spare {n}", "free", source="store") for n in range(SPARE)]
    for tenant in tenants:
        await world.store.tenants.create(PLATFORM, tenant, world.clock.now())
    ids["spare_tenant"] = [tenant.id for tenant in tenants]
    people = [await world.services.accounts.create_user(f"p{n}@acme.example", "member", "acme") for n in range(SPARE)]
    ids["user"] = [person.id for person in people]
    for n in range(SPARE):
        for path, body, name, who in (
            ("/keys", {"name": f"k{n}"}, "key", owner),
            ("/invitations", {"email": f"i{n}@acme.example", "role": "member"}, "invitation", owner),
            ("/tokens", {"name": f"t{n}", "scopes": ["read"]}, "token", owner if n % 2 else admin),
        ):
            _, made, _ = await world.ask("POST", path, body, who)
            ids.setdefault(name, []).append(made["id"] if "id" in made else made[name]["id"])
    ids["secret"] = [(await world.ask("POST", "/keys", {"name": "self"}, owner))[1]["secret"]]
    calls = (await world.ask("GET", "/calls", token=owner))[1]["data"]
    ids["call"] = [call["id"] for call in calls[:5]]
    for age in range(3):  # months of bills
        world.clock.advance(0 if age == 0 else 31 * DAY_US)
        await world.services.billing.run()
    world.tokens.clear()
    invoices = (await world.ask("GET", "/invoices?limit=200", token=await world.session("admin")))[1]["data"]
    ids["invoice"] = [invoice["id"] for invoice in invoices]
    return ids


async def fuzz(world: ApiWorld, caller: str, ids: dict[str, list[str]], *more: str) -> tuple[int, str]:
    """One run of schemathesis as this caller; returns its exit code and what it said."""
    credential = ids["secret"][0] if caller == "key" else "" if caller == "nobody" else await world.session(caller)
    headers = ["-H", f"Authorization: Bearer {credential}"] if credential else []
    command = [
        str(Path(sys.executable).with_name("schemathesis")), "run", str(world.client.make_url("/api/v1/openapi.json")),
        "--url", str(world.client.make_url("/api/v1")), *headers, "--checks", CHECKS, "--continue-on-failure",
        "--seed", "7", "--generation-database", "none", "--suppress-health-check", "all", "--no-color", *more,
    ]  # fmt: skip
    path = f"{SUPPORT.parent}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    environment = os.environ | {
        "SCHEMATHESIS_HOOKS": "support.fuzz_hooks", "FUZZ_IDS": json.dumps(ids), "PYTHONPATH": path,
        "FUZZ_TENANT": "acme" if caller in ("admin", "support") else "",
    }  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, env=environment, cwd=world.config.parent
    )
    said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode("utf-8", "replace")


@pytest.mark.slow
@pytest.mark.timeout(3600 if PROVE else 180)
async def test_schemathesis_finds_nothing(tmp_path: Path, store_url: str) -> None:
    if not PROVE and not store_url.startswith("sqlite"):
        pytest.skip("PROVE=1 asks both stores")
    admission = Admission(burst=10**9, per_second=10**6)
    async with open_api(tmp_path, store_url=store_url, admission=admission, throttle=Lenient()) as world:
        ids = await furnish(world)
        runs = [("--exclude-operation-id", name) for name in LAST], [("--include-operation-id", name) for name in LAST]
        for caller in CALLERS:
            asked = 0
            for chosen in runs if PROVE else runs[:1]:
                code, said = await fuzz(world, caller, ids, *HOW, *itertools.chain(*chosen))
                assert code == 0, said[-8000:]
                asked += int(re.findall(r"(\d+) generated", said)[-1])
            print(f"proof: {store_url.partition(':')[0]}, {caller}: {asked} requests, nothing found")
