"""Every operation, asked by everybody: the table of roles, written down a second time and compared."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.api_furniture import Lenient, furnish
from support.api_world import ApiWorld, open_api

from gateway.api.admission import Admission
from gateway.api.operation import Allowed, Anyone, LoggedIn, Operation, SelfKey
from gateway.api.table import OPERATIONS

ROLES = ("admin", "finance", "support", "owner@acme", "admin@acme", "member@acme")

# The table of the issue, written down a second time: platform admin, finance, support, tenant owner, admin, member.
# A cell lists what its role may do. "-" is a refusal (403); "absent" does not even exist (404).
ISSUE = {
    "plans, config, tenants": ("read write", "read", "read", "absent", "absent", "absent"),
    "invoices, payments": (
        "read pay calculate write", "read pay calculate write", "read",
        "read pay calculate", "read pay calculate", "read",
    ),
    "keys": ("read create write", "-", "read", "read create write", "read create write", "read create"),
    "subscription": ("read preview write", "read preview write", "read", "read preview write", "read preview", "read"),
    "team": ("read write", "-", "read", "read write", "read write", "read"),
    "audit": ("read", "read", "read", "read", "read", "-"),
    # What the issue's table leaves open: figures are for everybody, settings for those who run the organisation.
    "usage": ("read", "read", "read", "read", "read", "read"),
    "events": ("write", "-", "-", "absent", "absent", "absent"),
    "settings": ("read write", "read", "read", "read write", "read write", "read"),
    "myself": ("all", "all", "all", "all", "all", "all"),
}  # fmt: skip
OF = {
    "plans, config, tenants": {
        "read": "listTenants listPlans getPlan getStats",
        "write": "createPlan changePlan createTenant changeTenant suspendTenant reopenTenant closeTenant",
    },
    "invoices, payments": {
        "read": "estimate listInvoices getInvoice invoicePdf invoiceHtml invoiceCsv verifyInvoice listPayments "
        "listCreditNotes getCreditNote getCreditNotePdf getCreditNoteHtml getCreditNoteCsv listCredits listLineCalls",
        "calculate": "calculateInvoice",
        "pay": "payInvoice",
        "write": "finalizeInvoice voidInvoice writeOffInvoice confirmPayment rejectPayment createCreditNote "
        "grantCredit pinSubscription",  # at which prices somebody stays is the seller's to say
    },
    "keys": {"read": "listKeys getKey", "create": "createKey", "write": "changeKey rotateKey revokeKey"},
    "subscription": {
        "read": "getSubscription listTenantPlans",
        "preview": "previewChange",
        "write": "changeSubscription cancelSubscription keepSubscription pauseSubscription resumeSubscription",
    },
    "team": {"read": "listUsers getUser listInvitations", "write": "changeUser invite withdrawInvitation"},
    "audit": {"read": "listAudit"},
    "usage": {
        "read": "getUsage getUsageSeries getUsageBreakdown getUsageHistory getRefusals getLimits listCalls getCall"
    },
    "events": {"write": "postEvents"},
    "settings": {"read": "getTenant getSettings", "write": "changeSettings"},
    "myself": {"all": "me listTokens createToken revokeToken logout"},
}
OPEN = {"register", "verify", "login", "refresh", "forgot", "reset", "join"}
SELF = {"selfUsage", "selfLimits"}
WHERE = {name: (row, act) for row, acts in OF.items() for act, names in acts.items() for name in names.split()}
EXPECTED = {name: tuple("absent" if cell == "absent" else act in cell.split() for cell in ISSUE[row])
            for name, (row, act) in WHERE.items()} | {"wouldCost": (True, True, True, True, True, False)}  # fmt: skip


def concrete(operation: Operation) -> str:
    return re.sub(r"\{(\w+)\}", lambda found: "acme" if found[1] == "tenant" else "nothing", operation.path)


async def answer(world: ApiWorld, operation: Operation, token: str, **headers: str) -> tuple[int, str]:
    body = b"{}" if operation.request or operation.raw_body else None
    status, found, _ = await world.ask(operation.method, concrete(operation), body, token, **headers)
    return status, found["code"] if isinstance(found, dict) and "code" in found else ""


@pytest.fixture
async def full(tmp_path: Path) -> AsyncIterator[tuple[ApiWorld, dict[str, list[str]]]]:
    """A world with something of everything, and the ids of what there is."""
    admission = Admission(burst=10**9, per_second=10**6)
    async with open_api(tmp_path, admission=admission, throttle=Lenient()) as opened:
        yield opened, await furnish(opened)


def path_of(operation: Operation, ids: dict[str, list[str]], turn: int) -> str:
    """The address of something that is there, and by ``turn`` one that nobody has changed yet."""
    ends = operation.name in ("suspendTenant", "closeTenant", "reopenTenant", "changeTenant")

    def known(found: re.Match[str]) -> str:
        several = ids["spare_tenant" if ends and found[1] == "tenant" else found[1]]
        return several[turn % len(several)]

    return re.sub(r"\{(\w+)\}", known, operation.path)


def judged(expected: object, status: int, code: str) -> bool:
    if expected == "absent":
        return (status, code) == (404, "not_found")
    if expected is False:
        return (status, code) == (403, "forbidden")
    return status not in (401, 403, 404, 405, 429) and status < 500


BODIES = {"changeKey": {"name": "new"}, "createKey": {"name": "new"}, "changeSettings": {"locale": "de"},
          "rotateKey": {}, "previewChange": {"plan": "free"}}  # fmt: skip
LAST = ("logout", "cancelSubscription")


async def test_every_operation_for_every_role(full: tuple[ApiWorld, dict[str, list[str]]]) -> None:
    world, ids = full
    wrong, turn = [], 0
    for operation in sorted((one for one in OPERATIONS if one.name in EXPECTED), key=lambda one: one.name in LAST):
        for name, expected in zip(ROLES, EXPECTED[operation.name], strict=True):
            token, turn = await world.session(name), turn + 1
            path = path_of(operation, ids, turn)
            headers = {"X_Tenant_Id": "acme"} if name in ROLES[:3] else {}
            if operation.name in ("changeKey", "rotateKey", "revokeKey") and name == "member@acme":
                refused = (await ask(world, operation, path, token))[:2]
                assert refused == (403, "forbidden"), operation.name  # somebody else's key
                made = await world.ask("POST", "/keys", {"name": "mine"}, token)
                path, expected = path_of(operation, ids | {"key": [made[1]["key"]["id"]]}, 0), True
            if operation.name == "revokeToken":
                made = await world.ask("POST", "/tokens", {"name": "t", "scopes": ["read"]}, token)
                path = f"/tokens/{made[1]['token']['id']}"
            status, code = await ask(world, operation, path, token, **headers)
            if not judged(expected, status, code):
                wrong.append((name, operation.name, expected, status, code))
    assert wrong == []


async def ask(world: ApiWorld, operation: Operation, path: str, token: str, **headers: str) -> tuple[int, str]:
    sent = BODIES.get(operation.name, {}) if operation.request or operation.raw_body else None
    status, found, _ = await world.ask(operation.method, path, sent, token, **headers)
    return status, found["code"] if isinstance(found, dict) and "code" in found else ""


async def test_what_is_another_tenants_does_not_exist(full: tuple[ApiWorld, dict[str, list[str]]]) -> None:
    world, ids = full
    await world.enter("owner", "globex")
    token = await world.session("owner@globex")
    named = [one for one in OPERATIONS if "{" in one.path and "{plan}" not in one.path]
    assert len(named) > 25
    for operation in named:
        bodies = {"createCreditNote": {"reason": "mine"}, "confirmPayment": {}, "rejectPayment": {"reason": "no"}}
        sent = bodies.get(operation.name, BODIES.get(operation.name, {})) if operation.request else None
        status, found, _ = await world.ask(operation.method, path_of(operation, ids, 3), sent, token)
        refused = operation.name in WHERE and EXPECTED[operation.name][3] is False  # not for any owner
        assert (status, found["code"]) == ((403, "forbidden") if refused else (404, "not_found")), operation.name


async def test_a_suspended_tenants_people_read_and_pay(full: tuple[ApiWorld, dict[str, list[str]]]) -> None:
    world, ids = full
    admin, owner = await world.session("admin"), await world.session("owner@acme")
    assert (await world.ask("POST", "/tenants/acme/suspend", token=admin))[0] == 200
    for name in ("listInvoices", "getInvoice", "invoicePdf", "listKeys", "getUsage", "listCalls", "listUsers", "me"):
        operation = next(one for one in OPERATIONS if one.name == name)
        assert (await ask(world, operation, path_of(operation, ids, 0), owner))[0] == 200, name
    invoice = next(
        one for one in (await world.ask("GET", "/invoices", token=owner))[1]["data"] if one["state"] == "open"
    )
    assert (await world.ask("POST", f"/invoices/{invoice['id']}/pay", {"reference": "b"}, owner))[0] == 200
    assert (await world.ask("POST", "/tenants/acme/reopen", token=owner))[0] == 404


async def test_a_disabled_person_is_nobody(full: tuple[ApiWorld, dict[str, list[str]]]) -> None:
    world, ids = full
    token = await world.session("member@acme")
    made = (await world.ask("POST", "/tokens", {"name": "t", "scopes": ["read", "write"]}, token))[1]["secret"]
    person = world.people["member@acme"].id
    await world.ask("PATCH", f"/users/{person}", {"status": "disabled"}, await world.session("owner@acme"))
    for operation in OPERATIONS:
        if operation.name not in OPEN:
            for credential in (token, made):
                found = await ask(world, operation, path_of(operation, ids, 0), credential)
                assert found == (401, "unauthenticated"), operation.name


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
    written = set(EXPECTED) | OPEN | SELF
    assert {operation.name for operation in OPERATIONS} == written, (
        "who may do it? say so in OF, from the issue's table"
    )
