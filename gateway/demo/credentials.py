"""The demo tenants' keys: made once, kept in ``data/demo/credentials.json``, put into the store where missing."""

from dataclasses import dataclass

from gateway.demo.home import DemoHome
from gateway.demo.stories import FREE, NEARLY_FULL, PAYING
from gateway.storage.ports import Scope
from gateway.storage.store import Store
from gateway.tenants.credentials import mint
from gateway.tenants.model import Key

FILE = "credentials.json"
NAMES = {FREE: ("production",), NEARLY_FULL: ("production", "staging", "batch"), PAYING: ("production", "mobile")}


@dataclass(frozen=True, slots=True)
class DemoKey:
    """One key with its text, which only the demo keeps."""

    key: Key
    text: str


def load_or_make(home: DemoHome, now_us: int) -> dict[str, tuple[DemoKey, ...]]:
    """The keys of each demo tenant, the one to try first; made and kept at the first call."""
    kept = home.read(FILE)
    if kept is None:
        kept = {"keys": [_fresh(tenant, name, now_us) for tenant, names in NAMES.items() for name in names]}
        home.write(FILE, kept)
    keys = [_demo_key(entry) for entry in kept["keys"]]
    return {tenant: tuple(one for one in keys if one.key.tenant == tenant) for tenant in NAMES}


async def put_into(store: Store, keys: dict[str, tuple[DemoKey, ...]]) -> None:
    """Add to the store the keys that it lacks; a revoked one stays revoked."""
    for tenant, own in keys.items():
        for one in own:
            if await store.keys.get(Scope(tenant), one.key.id) is None:
                await store.keys.create(Scope(tenant), one.key)


def _fresh(tenant: str, name: str, now_us: int) -> dict[str, str | int]:
    minted = mint(now_us)
    return {
        "tenant": tenant,
        "name": name,
        "id": minted.id,
        "text": minted.text,
        "hash": minted.hash.hex(),
        "hint": minted.hint,
        "created_us": now_us,
    }


def _demo_key(entry: dict[str, str | int]) -> DemoKey:
    key = Key(
        id=str(entry["id"]),
        tenant=str(entry["tenant"]),
        hash=bytes.fromhex(str(entry["hash"])),
        name=str(entry["name"]),
        created_us=int(entry["created_us"]),
        source="store",
        hint=str(entry["hint"]),
    )
    return DemoKey(key, str(entry["text"]))
