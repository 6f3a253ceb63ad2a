"""Billing as its people use it, on a running gateway: a plan by the API, limits, debt, payment, documents."""

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest
from support.process import GatewayProcess, configuration
from support.services import wait_until
from support.upstream import RecordingUpstream

from gateway.accounts.api_sessions import ApiSessions
from gateway.accounts.people import Accounts
from gateway.clock import SystemClock
from gateway.storage.store import open_store
from gateway.storage.values import Role

Start = Callable[[dict[str, Any]], GatewayProcess]
SECRET = "s" * 40


def fetch(
    url: str, method: str = "GET", body: object = None, headers: dict[str, str] | None = None
) -> tuple[int, bytes]:
    data = None if body is None else json.dumps(body).encode()
    sent = {"Content-Type": "application/json", **(headers or {})}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, sent, method=method), timeout=20) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


class Person:
    """Somebody at the API, with a session as a login gives it."""

    def __init__(self, gateway: GatewayProcess, role: Role, tenant: str | None = None) -> None:
        self._base = f"{gateway.control_url}/api/v1"
        self._token = asyncio.run(_session(gateway, role, tenant))

    def ask(self, method: str, path: str, body: object = None, **headers: str) -> tuple[int, Any]:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        status, raw = fetch(f"{self._base}{path}", method, body, {"Authorization": f"Bearer {self._token}", **sent})
        return status, json.loads(raw) if raw[:1] in (b"{", b"[") else raw

    def done(self, method: str, path: str, body: object = None, **headers: str) -> Any:
        status, found = self.ask(method, path, body, **headers)
        assert status < 300, (method, path, status, found)
        return found


async def _session(gateway: GatewayProcess, role: Role, tenant: str | None) -> str:
    clock = SystemClock()
    store = await open_store(gateway.document["store"]["url"], gateway.folder)
    try:
        user = await Accounts(store.people, store.audit, clock).create_user(f"{role}@example.com", role, tenant)
        return (await ApiSessions(store, clock, SECRET.encode()).open(user, "127.0.0.1")).access
    finally:
        await store.close()


def gold(limit: int) -> dict[str, Any]:
    return {
        "billing": {"month": {"amount": "30"}},
        "limits": [{"name": "daily", "meter": "calls", "max": limit, "per": "day"}],
        "prices": [{"type": "per_unit", "meter": "calls", "unit": "0.5"}],
    }


@pytest.mark.slow
def test_from_a_plan_of_the_api_to_a_paid_invoice(gateway_process: Start, upstream: RecordingUpstream) -> None:
    document = configuration(upstream.url)
    document |= {"accounts": {"secret": SECRET}, "store": {"url": "sqlite:///gateway.db"}}
    document["billing"] = {"seller": {"name": "Example Ltd", "iban": "DE02"}, "due": "1d", "suspend_after": "1d"}
    gateway = gateway_process(document)
    admin = Person(gateway, "admin")
    admin.done("POST", "/plans", {"name": "gold", **gold(3)})
    assert admin.ask("PUT", "/plans/basic", gold(9))[1]["code"] == "managed_by_config"
    tenant = admin.done("POST", "/tenants", {"name": "Hooli", "plan": "gold"})["id"]
    secret = admin.done("POST", "/keys", {"name": "k"}, X_Tenant_Id=tenant)["secret"]

    def call() -> int:
        return fetch(f"{gateway.url}/x", headers={"X-API-Key": secret})[0]

    assert [call() for _ in range(4)] == [200, 200, 200, 429]
    admin.done("PUT", "/plans/gold", gold(5))
    assert [call() for _ in range(3)] == [200, 200, 429]
    owner = Person(gateway, "owner", tenant)
    wait_until(lambda: owner.done("GET", "/usage")["total"]["calls"] == 5, "the calls in the usage")
    wait_until(lambda: owner.done("GET", "/invoices")["data"], "the first fees")  # the job looks every second
    (invoice,) = owner.done("GET", "/invoices")["data"]
    assert invoice["state"] == "open"
    # what would it cost, and the draft with the calls behind its line
    (compared,) = owner.done("GET", "/plans/basic/would-cost")["data"]
    assert compared["difference"]["amount"].startswith("-")
    draft = owner.done("POST", "/invoices/calculate")
    lines = owner.done("GET", f"/invoices/{draft['id']}")["lines"]
    place = next(n for n, line in enumerate(lines, 1) if line["kind"] == "usage")
    behind = owner.done("GET", f"/invoices/{draft['id']}/lines/{place}/calls")
    assert (behind["from_calls"], behind["difference"], len(behind["data"])) == ("5", "0", 5)
    # who owes announces, who is owed confirms
    announced = owner.done("POST", f"/invoices/{invoice['id']}/pay", {"reference": "wire 1"})
    assert (announced["status"], announced["instructions"][0]) == (
        "pending",
        f"Transfer {invoice['total']['amount']} USD to Example Ltd.",
    )
    assert owner.ask("POST", f"/payments/{announced['payment']['id']}/confirm", {})[0] == 403
    finance = Person(gateway, "finance")
    paid = finance.done("POST", f"/payments/{announced['payment']['id']}/confirm", {})
    assert paid["invoice"]["state"] == "paid"
    note = finance.done(
        "POST", f"/invoices/{invoice['id']}/credit-notes", {"reason": "sorry", "amount": "1", "refund": True}
    )
    assert owner.done("GET", f"/credit-notes/{note['number']}/pdf").startswith(b"%PDF-")
    assert gateway.command_json("invoice", "verify", "--json")["holds"] is True
    # the store's plans outlive a restart, and the commands know them
    gateway.stop()
    gateway.start()
    assert call() == 429
    assert gateway.command_json("plans", "cost", "gold", "--tenant", tenant, "--json")["data"][0]["plan"] == "gold"
    checked = gateway.command("check", "--json")
    assert json.loads(checked.stdout)["moves"] == []
    document["plans"]["gold"] = {}
    gateway.write()
    assert gateway.command("check").returncode == 2
