"""Configuration, tenants and keys on their way to the workers."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.config.loader import load
from gateway.config.snapshot import Snapshot
from gateway.errors import GatewayError
from gateway.runtime import state_files
from gateway.runtime.state_feed import StateFeed, StatePublisher, published_plans, published_snapshot
from gateway.runtime.state_wait import wait_applied
from gateway.tenants.model import Key, Tenant

YAML = """\
upstreams: {{a: {{targets: ["http://a"]}}}}
routes: {{r: {{match: {{paths: [/]}}, upstream: a}}}}
plans: {{free: {{limits: [{{name: calls, max: {max}, per: minute}}]}}}}
tenants:
{tenants}
"""
ACME = f'  acme: {{plan: free, keys: [{{id: k1, hash: "sha256:{"11" * 32}"}}]}}'


def snapshot_of(folder: Path, tenants: str = ACME, maximum: int = 10) -> Snapshot:
    path = folder / "gateway.yaml"
    path.write_text(YAML.format(max=maximum, tenants=tenants))
    return load(path, {})


def store_key(number: int, tenant: str = "acme", **fields: object) -> Key:
    return Key(f"key_{number}", tenant, number.to_bytes(32, "big"), source="store", **fields)  # type: ignore[arg-type]


def settle(feed: StateFeed) -> bool:
    """Poll until a rebuild that is under way has been taken over."""
    moved = feed.poll()
    while feed._rebuilding is not None:
        feed._rebuilding.join()
        moved = feed.poll() or moved
    return moved


@pytest.fixture
def publisher(tmp_path: Path) -> StatePublisher:
    publisher = StatePublisher(tmp_path / "data")
    publisher.publish_config(snapshot_of(tmp_path))
    return publisher


@pytest.fixture
def feed(publisher: StatePublisher, tmp_path: Path) -> StateFeed:
    feed = StateFeed(tmp_path / "data")
    feed.load()
    return feed


def test_nothing_published_is_said(tmp_path: Path) -> None:
    with pytest.raises(GatewayError, match="no configuration was published"):
        StateFeed(tmp_path).load()
    assert published_snapshot(tmp_path / "elsewhere") is None


def test_the_configurations_keys(feed: StateFeed) -> None:
    principal = feed.find(b"\x11" * 32)
    assert principal is not None
    assert (principal.tenant.id, principal.key.id) == ("acme", "k1")
    assert feed.find(b"\x12" * 32) is None
    assert feed.poll() is False


def test_a_new_configuration_is_built_off_the_loop(feed: StateFeed, publisher: StatePublisher, tmp_path: Path) -> None:
    old = feed.snapshot
    version = publisher.publish_config(snapshot_of(tmp_path, maximum=20))
    assert version == 2
    assert settle(feed) is True
    assert feed.snapshot is not old
    assert (feed.snapshot.version, feed.snapshot.plans["free"].limits[0].max) == (2, 20)
    assert published_snapshot(tmp_path / "data") == feed.snapshot


def test_unchanged_content_keeps_its_version(feed: StateFeed, publisher: StatePublisher, tmp_path: Path) -> None:
    assert publisher.publish_config(snapshot_of(tmp_path)) == 1
    assert feed.poll() is False


def test_deltas_are_applied_in_place(feed: StateFeed, publisher: StatePublisher) -> None:
    assert publisher.publish_delta(1, [], [store_key(1)]) is False  # a full state comes first
    publisher.publish_state(1, [], [store_key(1)])
    assert settle(feed)
    state = feed.state
    assert publisher.publish_delta(2, [], [store_key(2)])
    assert publisher.publish_delta(3, [], [store_key(1, revoked_us=5)])
    assert feed.poll() is True
    assert feed.state is state
    assert state.sequence == publisher.sequence == 3
    found = feed.find((1).to_bytes(32, "big"))
    assert found is not None
    assert found.key.revoked_us == 5
    assert feed.find((2).to_bytes(32, "big")) is not None


def test_a_late_starter_reads_state_and_deltas(publisher: StatePublisher, tmp_path: Path) -> None:
    publisher.publish_state(1, [], [store_key(1)])
    publisher.publish_delta(2, [], [store_key(2)])
    late = StateFeed(tmp_path / "data")
    assert late.load().sequence == 2
    assert late.find((2).to_bytes(32, "big")) is not None
    assert late.poll() is False


def test_deltas_behind_a_new_state_are_not_lost(feed: StateFeed, publisher: StatePublisher) -> None:
    for round_ in range(20):
        publisher.publish_state(10 * round_, [], [store_key(1)])
        feed.poll()  # begins to rebuild
        publisher.publish_delta(10 * round_ + 1, [], [store_key(100 + round_)])
        settle(feed)
        settle(feed)
        assert feed.state.sequence == 10 * round_ + 1
        assert feed.find((100 + round_).to_bytes(32, "big")) is not None


def test_what_a_crash_left_behind_the_end_is_overwritten(
    feed: StateFeed, publisher: StatePublisher, tmp_path: Path
) -> None:
    publisher.publish_state(1, [], [])
    settle(feed)
    with state_files.log_path(tmp_path / "data", 1).open("ab") as log:
        log.write(b"half a frame of a publisher that was killed, longer than the next one " * 9)
    assert feed.poll() is False
    publisher.publish_delta(2, [], [store_key(2)])
    assert feed.poll()
    assert feed.find((2).to_bytes(32, "big")) is not None


@pytest.mark.parametrize("damage", [b"", b"\xc1garbage", b"\x94\x63\x01\x90\x90"])
def test_a_damaged_state_leaves_the_configurations_keys(
    damage: bytes, publisher: StatePublisher, tmp_path: Path
) -> None:
    publisher.publish_state(1, [], [store_key(1)])
    state_files.state_path(tmp_path / "data", 1).write_bytes(damage)
    feed = StateFeed(tmp_path / "data")
    feed.load()
    assert feed.find(b"\x11" * 32) is not None
    publisher.publish_state(2, [], [store_key(1)])
    assert settle(feed)
    assert feed.find((1).to_bytes(32, "big")) is not None


def test_a_damaged_state_does_not_end_what_serves(feed: StateFeed, publisher: StatePublisher, tmp_path: Path) -> None:
    publisher.publish_state(1, [], [store_key(1)])
    settle(feed)
    publisher.publish_state(2, [], [])
    state_files.state_path(tmp_path / "data", 2).write_bytes(b"")
    assert settle(feed) is False
    assert feed.find((1).to_bytes(32, "big")) is not None


def test_the_store_owns_status_and_the_yaml_what_it_writes(feed: StateFeed, publisher: StatePublisher) -> None:
    row = Tenant("acme", "Old name", "old-plan", status="suspended", source="yaml")
    publisher.publish_state(1, [row, Tenant("ten_1", "New", "free", source="store")], [store_key(1, "ten_1")])
    settle(feed)
    acme = feed.tenants["acme"]
    assert (acme.name, acme.plan, acme.status) == ("acme", "free", "suspended")
    publisher.publish_delta(2, [Tenant("acme", "Old name", "old-plan", source="yaml")], [])
    feed.poll()
    assert feed.tenants["acme"].status == "active"
    found = feed.find((1).to_bytes(32, "big"))
    assert found is not None
    assert found.tenant.name == "New"


def test_a_tenant_that_left_the_yaml_is_closed_and_still_known(feed: StateFeed, publisher: StatePublisher) -> None:
    gone = Key("k9", "gone", b"\x99" * 32, source="yaml", revoked_us=1)
    publisher.publish_state(1, [Tenant("gone", "Gone", "free", source="yaml")], [gone])
    settle(feed)
    found = feed.find(b"\x99" * 32)
    assert found is not None
    assert (found.tenant.status, found.key.revoked_us) == ("closed", None)


def test_a_key_that_left_the_yaml_of_a_listed_tenant_is_unknown(feed: StateFeed, publisher: StatePublisher) -> None:
    publisher.publish_state(1, [], [Key("k0", "acme", b"\x77" * 32, source="yaml")])
    settle(feed)
    assert feed.find(b"\x77" * 32) is None


def test_a_listed_key_that_the_store_revoked_is_revoked(feed: StateFeed, publisher: StatePublisher) -> None:
    publisher.publish_state(1, [], [Key("k1", "acme", b"\x11" * 32, source="yaml", revoked_us=5)])
    settle(feed)
    found = feed.find(b"\x11" * 32)
    assert found is not None
    assert found.key.revoked_us == 5
    publisher.publish_delta(2, [], [Key("k1", "acme", b"\x11" * 32, source="yaml")])
    feed.poll()
    assert feed.find(b"\x11" * 32) == type(found)(found.tenant, feed.snapshot.keys[0])


def test_files_are_private_and_old_ones_go(feed: StateFeed, publisher: StatePublisher, tmp_path: Path) -> None:
    for number in range(1, 6):
        publisher.publish_state(number, [], [])
        publisher.publish_config(snapshot_of(tmp_path, maximum=10 + number))
    feed.acknowledge(0)
    files = list((tmp_path / "data" / "state").iterdir())
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert len([path for path in files if path.name.startswith(("config-", "state-"))]) == 4


def test_age(feed: StateFeed, publisher: StatePublisher) -> None:
    assert feed.age_seconds() == 0.0
    publisher.alive(1)
    assert feed.age_seconds() > 1e9


def test_waiting_for_workers(feed: StateFeed, publisher: StatePublisher, tmp_path: Path) -> None:
    data = tmp_path / "data"
    assert wait_applied(data, 7, timeout=0)  # nobody runs here
    feed.acknowledge(3)
    behind = wait_applied(data, 7, timeout=0)
    assert (bool(behind), behind.workers, behind.behind) == (False, 1, (3,))
    publisher.publish_state(7, [], [])
    settle(feed)
    feed.acknowledge(3)
    assert wait_applied(data, 7, timeout=0).behind == ()
    feed.withdraw(3)
    assert wait_applied(data, 8, timeout=0).workers == 0


def test_the_dead_are_not_waited_for(feed: StateFeed, tmp_path: Path) -> None:
    data = tmp_path / "data"
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    state_files.ack_path(data, 0, dead.pid).write_bytes(state_files.ACK.pack(dead.pid, 0, 1, 0))
    another = state_files.ack_path(data, 1, 4)  # the pid lives, but is another process by now
    another.write_bytes(state_files.ACK.pack(os.getpid(), 1, 1, 0))
    state_files.ack_path(data, 2, 5).write_bytes(b"short")
    assert wait_applied(data, 9, timeout=0).workers == (0 if sys.platform == "linux" else 1)
    assert not state_files.ack_path(data, 0, dead.pid).exists()


def test_the_store_s_plans_lie_beside_the_configuration_s(
    feed: StateFeed, publisher: StatePublisher, tmp_path: Path
) -> None:
    limit = {"name": "calls", "meter": "calls", "max": 7, "per": "day"}
    publisher.publish_plans({"gold": {"limits": [limit]}, "free": {"limits": []}})
    assert settle(feed)
    assert feed.snapshot.plans["gold"].limits[0].max == 7
    assert feed.snapshot.plans["free"].limits[0].max == 10
    assert feed.snapshot.stored_plans == {"gold"}
    assert set(published_plans(tmp_path / "data")) == {"gold", "free"}
    publisher.publish_plans({"gold": {"limits": [limit]}, "free": {"limits": []}})
    assert not settle(feed)
    publisher.publish_plans({"gold": {"limits": [{**limit, "max": 8}]}})
    publisher.publish_config(snapshot_of(tmp_path, maximum=11))
    assert settle(feed)
    assert [feed.snapshot.plans[name].limits[0].max for name in ("gold", "free")] == [8, 11]
    again = StateFeed(tmp_path / "data")
    assert again.load().snapshot.plans["gold"].limits[0].max == 8
