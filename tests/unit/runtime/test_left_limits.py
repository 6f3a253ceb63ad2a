"""Which counters are taken away when limits or tenants leave a plan (SEMANTICS §16, 19)."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.clock import DAY_US, SECOND_US, ManualClock
from gateway.config.loader import load
from gateway.counters.layout import Capacity
from gateway.counters.mmap_store import MmapCounterStore
from gateway.ids import uuid7
from gateway.quotas.binding import bind
from gateway.runtime.left_limits import LeftLimits
from gateway.runtime.state_feed import StateFeed, StatePublisher

YAML = """\
upstreams: {{a: {{targets: ["http://a"]}}}}
routes: {{r: {{match: {{paths: [/]}}, upstream: a}}, s: {{match: {{paths: [/s]}}, upstream: a}}}}
plans:
  full: {{limits: [{limits}]}}
  small: {{limits: [{{name: d, max: 5, per: day}}]}}
tenants:
  acme: {{plan: {plan}, timezone: {zone}, keys: [{{id: k1, hash: "sha256:{one}"}}, {{id: k2, hash: "sha256:{two}"}}]}}
"""
DAILY = "{name: d, max: 9, per: day}"
KEYED = "{name: k, max: 9, per: day, by: [key, route]}"
RATE, PARALLEL = "{name: b, max: 9, per: second, algorithm: bucket}", "{name: c, concurrent: 9}"
OTHERS = f"{RATE}, {PARALLEL}, {{name: a, max: 9, per: day, by: address}}"


class World:
    """A configuration that changes, the counters, and what the shipper does about them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = ManualClock(20_000 * DAY_US)
        self.publisher = StatePublisher(folder / "data")
        self.store = MmapCounterStore.open(folder / "counters", self.clock, capacity=Capacity(64, 64, 64))
        self.publish()
        self.publisher.publish_state(1, [], [])
        self.begin()

    def publish(self, limits: str = f"{DAILY}, {KEYED}, {OTHERS}", plan: str = "full", zone: str = "UTC") -> None:
        path = self.folder / "gateway.yaml"
        path.write_text(YAML.format(limits=limits, plan=plan, zone=zone, one="11" * 32, two="22" * 32))
        self.publisher.publish_config(load(path, {}))

    def begin(self) -> None:
        """A shipper's start."""
        self.feed = StateFeed(self.folder / "data")
        self.feed.load()
        self.left = LeftLimits(self.store, self.feed, self.clock)

    async def change(self, **to: str) -> int:
        """Publish, and pass time; how many counters went."""
        self.publish(**to)
        while not self.feed.poll():
            pass
        return await self.wait()

    async def wait(self) -> int:
        gone = await self.left.turn()
        assert not gone, "not before the workers know"
        self.clock.advance(2 * SECOND_US)
        return await self.left.turn()

    def call(self) -> None:
        """One call of each key on each route."""
        plan = self.feed.snapshot.plans[self.feed.tenants["acme"].plan]
        for key in ("k1", "k2"):
            for route in ("r", "s"):
                binding = bind(plan.limits, {}, self.feed.tenants["acme"], key, route, b"secret")
                reservation = binding.reservation(self.clock.now(), {"calls": 1}, "192.0.2.1")
                assert self.store.reserve_now(uuid7(self.clock.now()), reservation).admitted

    def entries(self) -> int:
        return sum(1 for _ in self.store.dump())


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.store.close()


async def test_figures_and_names_leave_nothing(world: World) -> None:
    world.call()
    assert world.entries() == 1 + 4 + 3
    assert await world.wait() == 0
    assert await world.change(limits=f"{KEYED}, {DAILY.replace('d', 'other', 1).replace('9', '3')}, {OTHERS}") == 0
    assert world.entries() == 1 + 4 + 3


async def test_a_limit_that_leaves_takes_its_counters_along(world: World) -> None:
    world.call()
    await world.wait()
    assert await world.change(limits=f"{DAILY}, {OTHERS}") == 4
    assert world.entries() == 1 + 3
    assert await world.change() == 0


async def test_a_tenant_that_leaves_the_plan(world: World) -> None:
    world.call()
    await world.wait()
    assert await world.change(plan="small") == 4  # the day's own counter is one of the new plan too
    assert world.entries() == 1 + 3


async def test_days_of_another_zone_are_other_counters(world: World) -> None:
    world.call()
    await world.wait()
    assert await world.change(zone="Asia/Tokyo") == 5
    assert world.entries() == 3


async def test_what_left_while_nobody_ran(world: World) -> None:
    world.call()
    world.publish(limits=OTHERS)
    world.begin()
    assert await world.wait() == 5
    assert world.entries() == 3
