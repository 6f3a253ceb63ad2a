"""A worker's Redis counter store as plain calls: its event loop runs in a thread of its own."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from gateway.config.redis_url import parse_redis_url
from gateway.counters.redis_desk import RedisDesk
from gateway.counters.redis_store import RedisCounterStore
from gateway.quotas.counter import Counter, Decision, LimitState, Reservation


class PlainRedisStore:
    """The store and a desk beside it, with every tenant of ``tenants`` marked as seeded."""

    def __init__(
        self, url: str, incarnation: str, host_now: Callable[[], int], notes: Path,
        time: Callable[[], int] | None = None, tenants: Sequence[str] = (),
    ) -> None:  # fmt: skip
        address = replace(parse_redis_url(url), deadline=5.0)  # on a busy machine too
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.desk = RedisDesk(address, time)

        async def open_store() -> RedisCounterStore:
            store = RedisCounterStore(address, incarnation, host_now, notes, time)
            assert await store.until_up(5)
            return store

        self.store = self._run(open_store())
        self.incarnation = incarnation
        self.now = self.store.now
        for tenant in tenants:
            self.desk.mark(tenant, 0)

    def _run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)

    def reserve_now(self, call_id: bytes, reservation: Reservation) -> Decision:
        return self._run(self.store.reserve(call_id, reservation))

    def settle_now(self, call_id: bytes, at_us: int, reservation: Reservation, actual: Sequence[int]) -> None:
        self._run(self.store.settle(call_id, at_us, reservation, actual))

    def release_now(self, call_id: bytes, at_us: int, reservation: Reservation) -> None:
        self._run(self.store.release(call_id, at_us, reservation))

    async def reserve(self, call_id: bytes, reservation: Reservation) -> Decision:
        return self.reserve_now(call_id, reservation)

    async def settle(self, call_id: bytes, at_us: int, reservation: Reservation, actual: Sequence[int]) -> None:
        self.settle_now(call_id, at_us, reservation, actual)

    async def release(self, call_id: bytes, at_us: int, reservation: Reservation) -> None:
        self.release_now(call_id, at_us, reservation)

    def read(self, counters: Sequence[Counter], now_us: int = 0) -> tuple[LimitState, ...]:
        return self.desk.read(counters, now_us)

    def close(self) -> None:
        self._run(self.store.close())
        self.desk.close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()
