"""A small world behind the pages: a real SQLite store, a configuration, a clock set by hand, a browser's cookies."""

import re
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from aiohttp import ClientResponse, CookieJar
from aiohttp.test_utils import TestClient, TestServer

from gateway.accounts.key_book import KeyBook
from gateway.accounts.mail import Mail
from gateway.accounts.people import Accounts
from gateway.accounts.registration import Registration
from gateway.accounts.team import TeamDesk
from gateway.accounts.tokens import TokenDesk
from gateway.clock import SECOND_US, ManualClock
from gateway.config.accounts import account_settings
from gateway.config.loader import load
from gateway.config.snapshot import Snapshot
from gateway.ids import uuid7
from gateway.invoicing.following import BillingDesk
from gateway.metering.ports import Frame, Position
from gateway.metering.record import CallRecord, encode
from gateway.storage.ports import PLATFORM
from gateway.storage.store import Store, open_store
from gateway.storage.values import Role, User
from gateway.tenants.model import Key, Tenant
from gateway.ui.app import build_ui
from gateway.ui.bill import estimate_bill
from gateway.ui.reconciling import Compared, Comparison
from gateway.ui.services import Letter, LimitUse, TryAnswer, TryCall, UiServices

NOW_US = 1_795_180_000 * SECOND_US  # 2026-11-20 13:06:40 UTC, a Friday
PASSWORD = "correct horse battery"
CONFIG = """
version: 1
upstreams: {api: {targets: ["http://127.0.0.1:9001"]}}
routes:
  weather: {match: {paths: ["/weather"], methods: [GET]}, upstream: api}
  messages: {match: {paths: ["/messages"]}, upstream: api}
plans:
  pro:
    billing: {month: {amount: "49"}}
    limits:
      - {name: monthly, meter: calls, max: 1000, per: month}
      - {name: burst, meter: calls, max: 100, per: minute, by: key}
    prices: [{type: per_unit, meter: calls, unit: "0.01"}]
  free: {limits: [{name: slow, meter: calls, max: 10, per: minute}]}
tenants:
  acme: {name: Acme Corp, plan: pro}
  globex: {name: Globex, plan: free}
"""

TENANTS = (Tenant("acme", "Acme Corp", "pro"), Tenant("globex", "Globex", "free"))


class Letters:
    """A mailer that keeps what was sent."""

    def __init__(self) -> None:
        self.sent: list[Mail] = []

    async def send(self, mail: Mail) -> None:
        self.sent.append(mail)

    @property
    def token(self) -> str:
        """The token in the newest message."""
        return re.search(r"token=([\w%-]+)", self.sent[-1].text)[1]


@dataclass(slots=True)
class World:
    """Everything that a test may move."""

    store: Store
    clock: ManualClock
    services: UiServices
    accounts: Accounts
    client: TestClient
    limits: list[LimitUse] = field(default_factory=list)
    posted: int = 0
    tried: list[TryCall] = field(default_factory=list)
    mail: Letters = field(default_factory=Letters)

    @property
    def url(self) -> str:
        """Where the pages are."""
        return str(self.client.make_url("/")).rstrip("/")

    async def post_calls(self, tenant: str, ages_us: Iterable[int], **fields: object) -> None:
        """Post one call for each age."""
        frames = []
        for age in ages_us:
            self.posted += 1
            at_us = self.clock.now() - age
            values: dict[str, object] = {
                "route": "weather", "method": "GET", "path": "/weather?city=Oslo", "status": 200, "outcome": "ok",
                "units": {"calls": 1}, "quota_units": {"calls": 1}, "counted": True, "billable": True,
                "duration_us": 12_000, "key": "k1",
            }  # fmt: skip
            record = CallRecord(id=uuid7(at_us), at_us=at_us, tenant=tenant, **(values | fields))
            frames.append(Frame(Position("h-0-test", self.posted), encode(record)))
        if frames:
            await self.store.ledger.post("h-0-test", frames)

    async def person(self, email: str, role: Role, tenant: str | None = None, password: str = PASSWORD) -> User:
        """A person with a password."""
        user = await self.accounts.create_user(email, role, tenant)
        await self.accounts.set_password(user, password)
        return user

    async def csrf(self, path: str = "/login") -> str:
        """The CSRF token of a page's forms."""
        response = await self.client.get(path)
        found = re.search(r'name="csrf" value="([0-9a-f]{64})"', await response.text())
        assert found, f"{path} has no form"
        return found[1]

    async def log_in(self, email: str, password: str = PASSWORD, **fields: str) -> ClientResponse:
        """Send the login form as a browser does."""
        data = {"csrf": await self.csrf(), "email": email, "password": password} | fields
        return await self.client.post("/login", data=data, allow_redirects=False)

    async def enter(self, role: Role, tenant: str | None = None) -> User:
        """A new person of this role, logged in."""
        user = await self.person(f"{role}-{tenant}@example.com", role, tenant)
        assert (await self.log_in(user.email)).status == 303
        return user


@asynccontextmanager
async def open_world(
    folder: Path, tenants: Sequence[Tenant] = TENANTS, config: str = CONFIG, now_us: int = NOW_US, **blocks: object
) -> AsyncIterator[World]:
    """The tenants with a key each, no calls, nobody logged in. ``blocks`` are laid over the configuration read."""
    path = folder / "gateway.yaml"
    path.write_text(config)
    snapshot: Snapshot = load(path, {})
    snapshot = replace(snapshot, source=snapshot.source | blocks)
    store = await open_store("sqlite:///ui.db", folder)
    clock = ManualClock(now_us)
    keys = [Key("k1", t.id, t.id.encode().ljust(32, b".")[:32], f"{t.name}'s server", created_us=1) for t in tenants]
    await store.tenants.sync_yaml(PLATFORM, list(tenants), keys, now_us)
    limits: list[LimitUse] = []

    async def applied(sequence: int) -> bool:
        return True

    def owner(field: tuple[str, ...]) -> str:
        return "config/tenants.yaml:1"

    tried: list[TryCall] = []

    async def try_call(call: TryCall) -> TryAnswer:
        tried.append(call)
        return TryAnswer(200, "OK", (("Content-Type", "application/json"),), b'{"city": "Oslo"}', False, 12_000)

    accounts = Accounts(store.people, store.audit, clock, lambda: account_settings(snapshot.source).verify_email)
    letters = Letters()
    registration = Registration(
        store, clock, accounts, letters, lambda: account_settings(snapshot.source), lambda: snapshot.server.public_url
    )

    async def compare() -> Comparison:
        checks = (Compared("rows = rollups", 5, (("acme weather", 5, 2),)),)
        return Comparison(clock.now(), clock.now(), 0, 3, checks, (("host-gone", clock.now()),))

    services = UiServices(
        store,
        lambda: snapshot,
        clock,
        b"s" * 32,
        estimate_bill,
        accounts,
        registration,
        TeamDesk(store, clock, accounts, letters, registration),
        TokenDesk(store, clock),
        KeyBook(store, clock, applied, owner),
        BillingDesk(store, lambda: snapshot, clock),
        owner,
        applied,
        lambda: [Letter(mail.to, mail.subject, "today", mail.text) for mail in letters.sent],
        compare,
        lambda: {"api|http://127.0.0.1:9001": True},
        lambda tenant, keys: list(limits),
        try_call,
    )
    client = TestClient(TestServer(build_ui(services)), cookie_jar=CookieJar(unsafe=True))
    await client.start_server()
    try:
        yield World(store, clock, services, accounts, client, limits, tried=tried, mail=letters)
    finally:
        await client.close()
        await store.close()
