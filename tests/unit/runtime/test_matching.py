"""Counters in Redis and a ledger that was restored: noticed also when Redis did not answer at the start."""

from pathlib import Path
from typing import Any

import redis
from support.records import T0

from gateway.clock import MINUTE_US, ManualClock
from gateway.config.redis_url import parse_redis_url
from gateway.counters import redis_form as form
from gateway.counters.redis_desk import RedisDesk
from gateway.runtime.redis_seeding import RedisSeeder
from gateway.runtime.shipper import ShipperProcess
from gateway.storage.ports import PLATFORM
from gateway.storage.store import open_store


async def test_a_redis_that_comes_later_is_matched_once(tmp_path: Path, redis_url: str) -> None:
    store = await open_store("sqlite:///gateway.db", tmp_path)
    await store.ledger.mark_host(PLATFORM, "h", T0, T0)
    clock, desk = ManualClock(T0), RedisDesk(parse_redis_url(redis_url), lambda: T0, deadline=5)
    seeder = RedisSeeder(desk, store, None, clock, tmp_path / "notes", clock.now, "h")  # type: ignore[arg-type]
    shipper: Any = object.__new__(ShipperProcess)
    shipper._counters, shipper._clock, shipper._host, shipper._hosts, shipper._matched = desk, clock, "h", 1, False
    mark = form.mark_key(form.key_prefix("acme", desk.epoch("acme")))
    with redis.Redis.from_url(redis_url) as client:
        client.flushdb()
        for kept in (0, 1):  # a stamp that is ahead later on is none of a restored ledger
            desk.stamp("h", T0 + MINUTE_US)
            client.set(mark, 1)
            await shipper._count_hosts(store, seeder)
            assert client.exists(mark) == kept
            assert desk.stamped("h") == T0 + kept * MINUTE_US
        client.flushdb()
    desk.close()
    await store.close()
