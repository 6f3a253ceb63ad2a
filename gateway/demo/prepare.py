"""Before the gateway starts: tenants, keys, people and history in the demo's store; fresh one-time links."""

from collections.abc import Callable
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from gateway.accounts.people import Accounts
from gateway.clock import DAY_US, SystemClock
from gateway.config.snapshot import Snapshot
from gateway.demo import chapters, credentials
from gateway.demo.credentials import DemoKey
from gateway.demo.home import DemoHome
from gateway.demo.stories import FREE, Story, demo_tenants, story
from gateway.storage.ports import PLATFORM
from gateway.storage.store import Store, open_store
from gateway.storage.values import Role, User

ADMIN = "admin@demo.example"
SCALE_CALLS = 60_000


@dataclass(frozen=True, slots=True)
class Prepared:
    """What the card needs: each tenant's keys, and the tokens of two one-time links."""

    keys: dict[str, tuple[DemoKey, ...]]
    portal_token: str
    admin_token: str


async def prepare(home: DemoHome, snapshot: Snapshot, say: Callable[[str], None]) -> Prepared:
    """Make what is missing; quick when nothing is. Raises ``GatewayError``."""
    clock = SystemClock()
    now_us = clock.now()
    tenants = demo_tenants(snapshot)
    keys = credentials.load_or_make(home, now_us)
    store = await open_store(snapshot.store_url, snapshot.folder)
    try:
        await store.tenants.sync_yaml(PLATFORM, tuple(snapshot.tenants.values()), snapshot.keys, now_us)
        await credentials.put_into(store, keys)
        stories = [story(snapshot, one, tuple(own.key.id for own in keys[one.id])) for one in tenants]
        if home.read(chapters.FILE) is None:
            say(f"Making {chapters.DAYS} days of history …")
        await chapters.write_history(home, store, stories, now_us)
        await _write_scale(store, snapshot, now_us)
        accounts = Accounts(store.people, store.audit, clock)
        owner = await _person(accounts, f"owner@{FREE}.example", "owner", FREE)
        admin = await _person(accounts, ADMIN, "admin", None)
        return Prepared(
            keys,
            await accounts.issue_link(owner, "login", DAY_US),
            await accounts.issue_link(admin, "login", DAY_US),
        )
    finally:
        await store.close()


async def _person(accounts: Accounts, email: str, role: Role, tenant: str | None) -> User:
    return await accounts.find(email) or await accounts.create_user(email, role, tenant, actor="demo")


async def _write_scale(store: Store, snapshot: Snapshot, now_us: int) -> None:
    """A few calls for each tenant of ``--scale``."""
    extra = [tenant for id, tenant in snapshot.tenants.items() if id.startswith("customer-")]
    if extra:
        utc = ZoneInfo("UTC")
        stories = [Story(one.id, snapshot.plans[one.plan].version, utc, (), 0) for one in extra]
        await chapters.write_scattered(store, stories, max(2, SCALE_CALLS // len(extra)), now_us)
