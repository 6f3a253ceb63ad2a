"""The API over a real SQLite store, with a clock set by hand: people of every role, two tenants, mail in a list."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from aiohttp.typedefs import Handler

from gateway.accounts.api_sessions import ApiSessions
from gateway.accounts.key_book import KeyBook
from gateway.accounts.mail import Mail
from gateway.accounts.people import Accounts
from gateway.accounts.registration import Registration
from gateway.accounts.team import TeamDesk
from gateway.accounts.throttle import LoginThrottle
from gateway.accounts.tokens import TokenDesk
from gateway.api.app import api_routes
from gateway.api.dispatch import PORTAL
from gateway.api.services import ApiServices
from gateway.clock import SECOND_US, ManualClock
from gateway.config.accounts import account_settings
from gateway.config.loader import load
from gateway.config.stored_plans import with_plans
from gateway.ids import uuid7
from gateway.invoicing.following import BillingDesk
from gateway.metering.ports import Frame, Position
from gateway.metering.record import CallRecord, encode
from gateway.runtime.api_services import committed_and_applied
from gateway.storage.ports import PLATFORM
from gateway.storage.store import Store, open_store
from gateway.storage.values import Role, User
from gateway.tenants.model import Principal, Tenant

NOW_US = 1_795_180_000 * SECOND_US  # 2026-11-20 13:06:40 UTC
PASSWORD = "correct horse battery"
SECRET = b"s" * 32
CONFIG = """
version: 1
accounts: {registration: open, default_plan: free, verify_email: "on"}
upstreams: {api: {targets: ["http://127.0.0.1:9001"]}}
routes: {weather: {match: {paths: ["/weather"]}, upstream: api}}
plans:
  pro:
    billing: {month: {amount: "49"}}
    limits: [{name: monthly, meter: calls, max: 1000, per: month}]
    prices: [{type: per_unit, meter: calls, unit: "0.01"}]
  free: {limits: [{name: slow, meter: calls, max: 10, per: minute}]}
tenants: {acme: {name: Acme Corp, plan: pro}}
events:
  storage.used: {meter: storage, aggregate: max, value: gb}
  seats.used: {meter: seats, aggregate: unique, value: person}
  seats.now: {meter: seats_now, aggregate: latest, value: n}
  job.done: {meter: jobs, value: size.units}
  job.begun: {meter: begun, aggregate: count}
"""


class Mails(list[Mail]):
    """A mailer that keeps what it was given."""

    async def send(self, mail: Mail) -> None:
        self.append(mail)

    def token(self) -> str:
        """The token in the newest message."""
        return self[-1].text.partition("token=")[2].split()[0]


@dataclass
class ApiWorld:
    """Everything that a test may move. ``tokens`` holds an access token for each ``role`` and ``role@tenant``."""

    store: Store
    clock: ManualClock
    services: ApiServices
    client: TestClient[web.Request, web.Application]
    mails: Mails
    config: Path
    tokens: dict[str, str] = field(default_factory=dict)
    people: dict[str, User] = field(default_factory=dict)
    posted: int = 0
    portal: bool = False

    async def enter(self, role: Role, tenant: str | None = None) -> str:
        """An access token of a new person of this role."""
        name = f"{role}@{tenant}" if tenant else role
        if name not in self.tokens:
            email = f"{role}@{tenant or 'platform'}.example"
            user = await self.services.accounts.find(email)
            self.people[name] = user or await self.services.accounts.create_user(email, role, tenant)
            self.tokens[name] = await self.session(name)
        return self.tokens[name]

    async def session(self, name: str) -> str:
        """A fresh access token of somebody who entered before, by ``role`` or ``role@tenant``."""
        return (await self.services.sessions.open(self.people[name], "127.0.0.1")).access

    async def ask(
        self, method: str, path: str, body: Any = None, token: str = "", **headers: str
    ) -> tuple[int, Any, Mapping[str, str]]:
        """Status, decoded body and headers of one request below ``/api/v1``."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if token:
            sent["Authorization"] = f"Bearer {token}"
        data = None
        if isinstance(body, bytes):
            data = body
        elif body is not None:
            data = msgspec.json.encode(body)
        if data is not None:
            sent.setdefault("Content-Type", "application/json")
        async with self.client.request(method, f"/api/v1{path}", data=data, headers=sent) as response:
            raw = await response.read()
            await self.services.registration.settle()
            kind = response.headers.get("Content-Type", "")
            return response.status, msgspec.json.decode(raw) if "json" in kind and raw else raw, response.headers

    async def post_calls(self, tenant: str, count: int, key: str = "k1") -> None:
        """So many calls, a second apart, up to now."""
        frames = []
        for age in range(count):
            self.posted += 1
            at_us = self.clock.now() - age * SECOND_US
            record = CallRecord(
                id=uuid7(at_us), at_us=at_us, tenant=tenant, key=key, route="weather", method="GET", path="/weather",
                status=200, outcome="ok", units={"calls": 1}, quota_units={"calls": 1}, counted=True, billable=True,
                duration_us=9_000,
            )  # fmt: skip
            frames.append(Frame(Position("h-0-test", self.posted), encode(record)))
        await self.store.ledger.post("h-0-test", frames)


@asynccontextmanager
async def open_api(
    folder: Path, config: str = CONFIG, store_url: str = "sqlite:///api.db", **parts: Any
) -> AsyncIterator[ApiWorld]:
    """The world: acme of the configuration, globex of the store, nobody yet. ``parts`` take the place of services."""
    path = folder / "gateway.yaml"
    path.write_text(config)
    snapshot = load(path, {})
    store = await open_store(store_url, folder)
    clock, mails = ManualClock(NOW_US), Mails()
    await store.tenants.sync_yaml(PLATFORM, list(snapshot.tenants.values()), list(snapshot.keys), NOW_US)
    if await store.tenants.get(PLATFORM, "globex") is None:
        await store.tenants.create(PLATFORM, Tenant("globex", "Globex", "free", source="store"), NOW_US)
    state: dict[bytes, Principal] = {}
    live = {"snapshot": snapshot}

    async def reload(_: int) -> bool:
        found = await store.changes.load_state(PLATFORM)
        tenants = {tenant.id: tenant for tenant in found.tenants}
        state.clear()
        state.update({key.hash: Principal(tenants[key.tenant], key) for key in found.keys})
        live["snapshot"] = with_plans(snapshot, await store.plans.current(PLATFORM))
        return True

    applied = committed_and_applied(store, reload)
    accounts = Accounts(store.people, store.audit, clock, lambda: account_settings(snapshot.source).verify_email)
    registration = Registration(
        store, clock, accounts, mails, lambda: account_settings(snapshot.source), lambda: "http://gateway.example"
    )
    services = replace(ApiServices(
        store=store, snapshot=lambda: live["snapshot"], clock=clock, secret=SECRET, accounts=accounts,
        sessions=ApiSessions(store, clock, SECRET), tokens=TokenDesk(store, clock),
        keys=KeyBook(store, clock, applied, lambda field: "gateway.yaml:7"),
        team=TeamDesk(store, clock, accounts, mails, registration), registration=registration,
        throttle=LoginThrottle(), billing=BillingDesk(store, lambda: live["snapshot"], clock),
        limits=lambda tenant, keys: [], find_key=state.get, applied=applied,
        owner_file=lambda field: "gateway.yaml:15",
    ), **parts)  # fmt: skip
    app = web.Application()
    world = ApiWorld(store, clock, services, TestClient(TestServer(app)), mails, path)

    @web.middleware
    async def listener(request: web.Request, handler: Handler) -> web.StreamResponse:
        request[PORTAL] = world.portal
        return await handler(request)

    app.middlewares.append(listener)
    app.add_routes(api_routes(services))
    await world.client.start_server()
    try:
        yield world
    finally:
        await world.client.close()
        await store.close()
