"""Every operation, asked by everybody: the table of roles, written down a second time and compared."""

import re

from support.api_world import ApiWorld

from gateway.api.operation import Allowed, Anyone, LoggedIn, Operation, SelfKey
from gateway.api.table import OPERATIONS

PLATFORM = ("admin", "finance", "support")
TENANT = ("owner@acme", "admin@acme", "member@acme")
R, W, N = "read", "write", ""

# role: platform admin, finance, support, tenant owner, admin, member. "absent": 404, not even a refusal.
TABLE = {
    "platform:read": (True, True, True, "absent", "absent", "absent"),
    "platform:write": (True, False, False, "absent", "absent", "absent"),
    "settings:read": (True, True, True, True, True, True),
    "settings:write": (True, False, False, True, True, False),
    "usage:read": (True, True, True, True, True, True),
    "events:write": (True, False, False, "absent", "absent", "absent"),
    "invoices:read": (True, True, True, True, True, True),
    "invoices:preview": (True, True, True, True, True, False),
    "invoices:pay": (True, True, False, True, True, False),
    "invoices:write": (True, True, False, False, False, False),
    "keys:read": (True, False, True, True, True, True),
    "keys:write": (True, False, False, True, True, True),  # members: those that they made
    "subscription:read": (True, True, True, True, True, True),
    "subscription:preview": (True, True, False, True, True, False),
    "subscription:write": (True, True, False, True, False, False),
    "team:read": (True, False, True, True, True, True),
    "team:write": (True, False, False, True, True, False),
    "audit:read": (True, True, True, True, True, False),
}


def concrete(operation: Operation) -> str:
    return re.sub(r"\{(\w+)\}", lambda found: "acme" if found[1] == "tenant" else "nothing", operation.path)


async def answer(world: ApiWorld, operation: Operation, token: str, **headers: str) -> tuple[int, str]:
    body = b"{}" if operation.request or operation.raw_body else None
    status, found, _ = await world.ask(operation.method, concrete(operation), body, token, **headers)
    return status, found["code"] if isinstance(found, dict) and "code" in found else ""


async def test_the_matrix_of_roles_and_operations(world: ApiWorld) -> None:
    for role in PLATFORM:
        await world.enter(role)
    for name in TENANT:
        await world.enter(name.split("@")[0], "acme")
    wrong = []
    for operation in OPERATIONS:
        if not isinstance(operation.permission, Allowed):
            continue
        right = f"{operation.permission.area}:{operation.permission.access}"
        for name, expected in zip((*PLATFORM, *TENANT), TABLE[right], strict=True):
            headers = {"X_Tenant_Id": "acme"} if name in PLATFORM and operation.permission.reach == "tenant" else {}
            status, code = await answer(world, operation, world.tokens[name], **headers)
            refused, absent = (status, code) == (403, "forbidden"), status == 404
            named = "nothing" in concrete(operation)
            good = {
                True: not refused and status not in (401, 429, 500) and (named or not absent),
                False: refused,
                "absent": absent,
            }[expected]
            if not good and not (expected is True and absent and operation.tag == "billing"):
                wrong.append((name, operation.name, right, expected, status, code))
        world.clock.advance(1_000_000)
    assert wrong == []


async def test_nobody_gets_in_without_a_credential(world: ApiWorld) -> None:
    for operation in OPERATIONS:
        if isinstance(operation.permission, Anyone):
            continue
        for token in ("", "gpat_" + "a" * 40, "gk_live_abc", "x.y.z"):
            world.clock.advance(1_000_000)
            assert await answer(world, operation, token) == (401, "unauthenticated"), operation.name


async def test_personal_tokens_have_no_more_than_their_scopes(world: ApiWorld) -> None:
    token = await world.enter("owner", "acme")
    _, made, _ = await world.ask("POST", "/tokens", {"name": "t", "scopes": ["keys:read"]}, token)
    for operation in OPERATIONS:
        if isinstance(operation.permission, Anyone | SelfKey):
            continue
        status, code = await answer(world, operation, made["secret"])
        if isinstance(operation.permission, LoggedIn):
            assert operation.name == "me" or code == "forbidden"
        elif (operation.permission.area, operation.permission.access) == ("keys", "read"):
            assert status in (200, 404)
        else:
            assert status in (403, 404), operation.name


async def test_the_portal_listener_knows_no_platform(world: ApiWorld) -> None:
    admin, owner = await world.enter("admin"), await world.enter("owner", "acme")
    world.portal = True
    for operation in OPERATIONS:
        if isinstance(operation.permission, Allowed):
            status, _ = await answer(world, operation, admin, X_Tenant_Id="acme")
            assert status == 404, operation.name
            if operation.permission.reach == "platform":
                assert (await answer(world, operation, owner))[0] == 404
                assert (await answer(world, operation, ""))[0] == 404
    assert (await world.ask("GET", "/keys", token=owner))[0] == 200


def test_every_operation_is_declared_once() -> None:
    assert len({operation.name for operation in OPERATIONS}) == len(OPERATIONS)
    assert len({(operation.method, operation.path) for operation in OPERATIONS}) == len(OPERATIONS)
    used = {
        f"{one.permission.area}:{one.permission.access}" for one in OPERATIONS if isinstance(one.permission, Allowed)
    }
    assert used == set(TABLE)
