"""Every counter store passes this suite: a store factory, a clock set by hand, limits of each algorithm."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from support.redis_counters import PlainRedisStore

from gateway.clock import DAY_US, MINUTE_US, ManualClock
from gateway.counters.layout import Capacity
from gateway.counters.mmap_store import MmapCounterStore
from gateway.ids import uuid7
from gateway.quotas.binding import Binding, bind
from gateway.quotas.limit import Algorithm, CalendarWindow, DurationWindow, Limit
from gateway.tenants.model import Tenant

sys.path.insert(0, str(Path(__file__).parent))  # counting_worker, which is also run as a script

START_US = 20_000 * DAY_US + 7 * MINUTE_US  # 2024-10-04 00:07 UTC


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START_US)


@pytest.fixture(params=["mmap", "redis"])
def open_store(
    request: pytest.FixtureRequest, tmp_path: Path, clock: ManualClock
) -> Iterator[Callable[..., MmapCounterStore | PlainRedisStore]]:
    """``open_store(incarnation)``: one more worker's store on the same counters."""
    opened: list[MmapCounterStore | PlainRedisStore] = []
    url = ""
    if request.param == "redis":
        url = request.getfixturevalue("redis_server").url
        with redis.Redis.from_url(url) as client:
            client.flushdb()

    def open_one(incarnation: str = "w1") -> MmapCounterStore | PlainRedisStore:
        host = MmapCounterStore.open(tmp_path / "counters", clock, incarnation, capacity=Capacity(64, 64, 64))
        opened.append(host)
        if not url:
            return host
        notes = tmp_path / "unseeded"
        store = PlainRedisStore(url, incarnation, host.now, notes, clock.now, ("acme", "a", "b"))
        opened.append(store)
        return store

    yield open_one
    for store in opened:
        store.close()


@pytest.fixture
def new_call(clock: ManualClock) -> Callable[[], bytes]:
    return lambda: uuid7(clock.now())


@pytest.fixture
def limit_of() -> Callable[..., Limit]:
    """``limit_of("sliding", 5)``: a limit of that algorithm, a minute's unless it is a calendar month."""

    def make(kind: str, maximum: int, **more: object) -> Limit:
        window = {
            "calendar": CalendarWindow("month"),
            "sliding": DurationWindow(MINUTE_US),
            "bucket": DurationWindow(MINUTE_US),
            "concurrent": None,
        }[kind]
        algorithm = Algorithm[kind.upper()]
        fields = {"name": kind, "meter": "" if kind == "concurrent" else "calls", **more}
        return Limit(max=maximum, window=window, algorithm=algorithm, **fields)  # type: ignore[arg-type]

    return make


@pytest.fixture
def bind_to() -> Callable[..., Binding]:
    """``bind_to(limits, key="k1", route="r", tenant="acme", overrides={})``."""

    def make(
        limits: list[Limit],
        key: str = "k1",
        route: str = "r",
        tenant: str = "acme",
        overrides: dict[str, dict[str, int]] | None = None,
    ) -> Binding:
        return bind(limits, overrides or {}, Tenant(tenant, tenant, "pro"), key, route, b"secret")

    return make
