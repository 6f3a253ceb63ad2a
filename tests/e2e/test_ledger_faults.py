"""Fault injection under load: calls go on by policy, and every count is exact after.

Reduced here; ``make prove`` (PROVE=1) lets each fault last as long as the design says.
"""

import json
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
from support.crash import DAILY, SQLITE, Load, kill, read_ledger
from support.faults import (
    copy_of,
    document,
    exact_after,
    fill_up,
    flip_a_bit,
    locked,
    metric,
    published,
    read_only,
    readiness,
    restore,
    seconds,
    shipped,
    small_disk,
)
from support.process import KEY, GatewayProcess
from support.services import RedisServer, running_postgres, stop_process, wait_until
from support.upstream import RecordingUpstream

from gateway.spool.reader import SpoolReader

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

NewGateway = Callable[[dict[str, Any]], GatewayProcess]


@pytest.fixture
def new_gateway(tmp_path: Path) -> Iterator[NewGateway]:
    """``new_gateway(document)``: a gateway that is not started yet, so that its disk can be made first."""
    made: list[GatewayProcess] = []

    def make(configured: dict[str, Any]) -> GatewayProcess:
        folder = tmp_path / f"host-{len(made)}"
        folder.mkdir()
        made.append(GatewayProcess(folder, configured))
        return made[-1]

    yield make
    for gateway in made:
        if gateway.process is not None:
            gateway.stop()


@pytest.mark.parametrize("on_error", ["refuse", "serve"])
def test_a_full_disk_and_a_locked_database(on_error: str, upstream: RecordingUpstream, new_gateway: NewGateway) -> None:
    gateway = new_gateway(document(upstream, [DAILY], max_size="1MB", on_error=on_error))
    data = gateway.folder / "data"
    with small_disk(data / "spool", "440k") as disk:
        gateway.start()
        with Load(gateway.listen, clients=4) as load:
            load.wait_for(50)
            with locked(data / "gateway.db"):
                ballast = fill_up(disk)
                if on_error == "refuse":
                    wait_until(lambda: load.refused.get(503, 0) > 100, "calls refused for want of room", 60)
                else:
                    wait_until(lambda: published(gateway, "worker-0").get("unmetered", 0) > 100, "unmetered calls", 60)
                    assert not load.refused
                time.sleep(seconds(10, 1))
                ballast.unlink()
                load.wait_for(100)
            if on_error == "refuse":
                refused = load.refused[503]
                with read_only(disk):
                    wait_until(lambda: load.refused[503] > refused + 100, "calls refused on a read-only disk", 60)
            load.wait_for(50)
        assert set(load.refused) <= {503}
        assert load.broken <= (4 if on_error == "refuse" else 0)  # those that were in flight when an append failed
        wait_until(lambda: readiness(gateway)[0] == 200, "readiness")
        time.sleep(3)  # workers publish their figures every second or so
        unmetered = int(metric(gateway, "gateway_unmetered_calls_total"))
        assert (unmetered > 0) == (on_error == "serve")
        rows = exact_after(gateway, load, SQLITE, without_record=unmetered)
    figures = {"delivered": len(load.delivered), "recorded": len(rows), "refused": load.refused, "unmetered": unmetered}
    print(f"\nproof: disk full and database locked, on_error: {on_error}: {figures}")


def test_a_spool_that_fills_up_warns_before_it_refuses(upstream: RecordingUpstream, new_gateway: NewGateway) -> None:
    gateway = new_gateway(document(upstream, [DAILY], max_size="300KB"))
    gateway.start()
    with Load(gateway.listen, clients=4) as load:
        load.wait_for(20)
        with locked(gateway.folder / "data" / "gateway.db"):
            wait_until(lambda: "the spool fills up" in gateway.log, "the alarm", 60)
            wait_until(lambda: load.refused.get(503, 0) > 50, "calls refused at max_size", 60)
            wait_until(lambda: metric(gateway, "gateway_spool_fill_ratio") >= 0.8, "the metric that warns")
            status, checks = readiness(gateway)
            assert (status, checks["workers"]) == (503, "ok")
            assert "full" in checks["spool"]
            delivered = len(load.delivered)
        load.wait_for(200)  # shipped, the oldest segments give way
    assert not load.broken
    rows = exact_after(gateway, load, SQLITE)
    print(f"\nproof: spool at max_size: {delivered} calls before, refused {load.refused}, recorded {len(rows)}")


def test_a_flipped_bit_and_a_torn_tail(upstream: RecordingUpstream, new_gateway: NewGateway) -> None:
    gateway = new_gateway(document(upstream, [DAILY]))
    gateway.start()
    spool = gateway.folder / "data" / "spool"
    (shipper,) = gateway.children("gateway.runtime.shipper")
    os.kill(shipper, signal.SIGSTOP)
    with Load(gateway.listen, clients=4) as load:
        load.wait_for(100)
    (segment,) = spool.glob("*/00000001.seg")
    victim = re.findall(r"client-\d+-call-\d+", segment.read_bytes().decode("latin-1"))[-10]
    flip_a_bit(segment, victim)
    # A worker that dies in mid-write leaves half a frame behind its last whole one.
    kill(gateway.children("gateway.runtime.worker"))
    reader = SpoolReader(spool)
    with segment.open("r+b") as file:
        file.seek(reader.tail(segment.parent.name).offset)
        file.write(b"\xf0\x00\x00\x00\x12\x34\x56\x78\x99")
    os.kill(shipper, signal.SIGCONT)
    wait_until(lambda: metric(gateway, "gateway_lost_records") == 1, "the damage noticed", 60)
    with Load(gateway.listen, "after", 4) as after:
        after.wait_for(50)
    wait_until(lambda: json.loads(gateway.command("reconcile", "--json").stdout)["unshipped"] == 0, "all shipped")
    done = gateway.command("reconcile", "--json")
    assert done.returncode == 1
    found = [(check["name"], one) for check in json.loads(done.stdout)["checks"] for one in check["differences"]]
    # The one entry, where it is held and by the counter that counted it.
    assert [(name, abs(one["expected"] - one["found"])) for name, one in found] == [
        ("nothing in quarantine", 1),
        ("counters = ledger", 1),
    ]
    assert "frame in 00000001.seg" in found[0][1]["where"]
    assert "quarantine" in gateway.log
    assert gateway.stop() == 0
    recorded = [row.request_id for row in read_ledger(gateway, SQLITE)]
    assert len(recorded) == len(set(recorded))
    assert (load.delivered | after.delivered) - set(recorded) == {victim}
    print(f"\nproof: a flipped bit and a torn tail: {len(recorded)} recorded, 1 in quarantine and named")


@pytest.mark.service
def test_postgres_locked_killed_in_mid_batch_and_stopped(upstream: RecordingUpstream, new_gateway: NewGateway) -> None:
    with running_postgres() as server:
        url = server.create_database("gateway")
        configured = document(upstream, [DAILY]) | {"store": {"url": url}, "accounts": {"secret": "s" * 40}}
        gateway = new_gateway(configured)
        gateway.start()
        with Load(gateway.listen, clients=4) as load:
            load.wait_for(50)
            lock = server.session("gateway", "BEGIN; LOCK TABLE calls IN ACCESS EXCLUSIVE MODE;")
            load.wait_for(50)
            time.sleep(seconds(10, 1))
            stop_process(lock)
            for _ in range(round(seconds(10, 2))):
                load.wait_for(50)
                server.kill()  # whatever batch is under way
                server.start()
            server.stop()
            time.sleep(seconds(60, 1))
            load.wait_for(50)
            assert gateway.stop() == 0
            started = time.monotonic()
            gateway.start_without_store()  # the last state is here: nobody waits
            first = time.monotonic() - started
            load.wait_for(50)
            status, checks = readiness(gateway)
            assert (status, checks["workers"], checks["shipper"]) == (503, "ok", "ok"), checks
            assert metric(gateway, "gateway_store_up") == 0
            server.start()
            load.wait_for(50)
        rows = exact_after(gateway, load, url)
    assert not set(load.refused)
    print(f"\nproof: PostgreSQL locked, killed, stopped: delivered {len(load.delivered)}, recorded {len(rows)}")
    print(f"proof: started with PostgreSQL away: first answer after {first:.2f} s")


def test_a_restored_ledger_is_shipped_again_once(upstream: RecordingUpstream, new_gateway: NewGateway) -> None:
    gateway = new_gateway(document(upstream, [DAILY]))
    gateway.start()
    with Load(gateway.listen, clients=4) as load:
        load.wait_for(seconds(2000, 150))
        gateway.stop()
        copy_of(gateway.folder, "gateway.db", "spool", "inflight", "counters", "host_id")
        gateway.start()
        load.wait_for(seconds(2000, 150))
        gateway.stop()
        restore(gateway.folder, "gateway.db", "gateway.db-wal", "gateway.db-shm")  # an older ledger, a newer spool
        gateway.start()
        load.wait_for(seconds(2000, 100))
        gateway.stop()
        restore(gateway.folder, "spool", "inflight")  # and the other way round
        gateway.start()
        load.wait_for(seconds(2000, 100))
        gateway.stop()
        restore(gateway.folder, "spool", "inflight", "counters")  # all but the ledger, of two minutes ago
        stamp = gateway.folder / "data" / "counters" / "counters" / "ledger.json"
        before_us = json.loads(stamp.read_text())["complete_until_us"] - 120_000_000
        stamp.write_text(json.dumps({"complete_until_us": before_us}))
        gateway.start()
        load.wait_for(seconds(2000, 100))
    rows = exact_after(gateway, load, SQLITE)
    print(f"\nproof: restored from a backup, both ways: delivered {len(load.delivered)}, recorded {len(rows)}")


@pytest.mark.service
def test_counters_in_redis_follow_a_restored_ledger(
    upstream: RecordingUpstream, new_gateway: NewGateway, own_redis: RedisServer
) -> None:
    limits = [{"name": "daily", "max": 100, "per": "day"}]
    gateway = new_gateway(document(upstream, limits) | {"counters": {"url": own_redis.url, "deadline": "2s"}})

    def left_after(calls: int) -> str:
        gateway.start()
        answers = [httpx.get(f"{gateway.url}/x", headers={"X-API-Key": KEY}) for _ in range(calls)]
        assert [answer.status_code for answer in answers] == [200] * calls
        wait_until(lambda: shipped(gateway), "the spool shipped", 60)
        assert gateway.stop() == 0
        return answers[-1].headers["RateLimit"].partition(";t=")[0]

    assert left_after(3) == '"daily";r=97'
    copy_of(gateway.folder, "gateway.db", "spool", "inflight")
    assert left_after(4) == '"daily";r=93'
    restore(gateway.folder, "gateway.db", "gateway.db-wal", "gateway.db-shm", "spool", "inflight")
    with redis.Redis.from_url(own_redis.url) as client:
        (stamp,) = client.scan_iter("gw:{.}:ledger:*")
        client.incrby(stamp, 60_000_000)  # as if the backup were older
    assert left_after(1) == '"daily";r=96'
    assert "made anew from the ledger" in gateway.log
