"""The shipper: recovers what dead workers left, ships the spool into the ledger, seeds counters, brings changes.

``python -m gateway.runtime.shipper SPEC``; one per host. Workers serve on while it, or the store, is down.
"""

import asyncio
import contextlib
import logging
import os
from collections.abc import Sequence

import uvloop

from gateway.clock import MINUTE_US, SystemClock
from gateway.counters.redis_desk import RedisDesk
from gateway.errors import StoreUnavailable
from gateway.period import from_us
from gateway.runtime import counting, paths
from gateway.runtime.child import ChildSpec, read_spec, refusing, say_ready, settle_heap, stop_event
from gateway.runtime.counter_room import CounterRoom
from gateway.runtime.ledger_stamp import APART_US, LedgerStamp
from gateway.runtime.left_limits import LeftLimits
from gateway.runtime.logs import configure
from gateway.runtime.lost_calls import LostCalls
from gateway.runtime.periodic import every
from gateway.runtime.publish import write_json
from gateway.runtime.reconciliation import Reconciliation
from gateway.runtime.redis_seeding import RedisSeeder
from gateway.runtime.reported_use import ReportedUse
from gateway.runtime.seeding import Seeder
from gateway.runtime.shipping import Shipper
from gateway.runtime.state_feed import StateFeed, StatePublisher
from gateway.runtime.state_keeper import StateKeeper
from gateway.spool.identity import read_host_id
from gateway.spool.reader import SpoolReader
from gateway.spool.recovery import recover_all
from gateway.spool.tables import list_tables, oldest_open_us
from gateway.storage.ports import PLATFORM
from gateway.storage.store import Store, bring_up, store_at
from gateway.storage.values import HostMark

logger = logging.getLogger(__name__)

STATE_INTERVAL = 0.2
SEED_INTERVAL = 0.5
RECOVER_INTERVAL = 5.0
PUBLISH_INTERVAL = 0.5
ROOM_INTERVAL = 0.5
RETRY_STORE = 1.0
STORE_PATIENCE = 2.0
ALONE = "several hosts ship into this store, but counters.url is of one host: limits hold for each host alone"
RESTORED = "the counters are not of the ledger's time, as after a restored backup: they are made anew from the ledger"

AnySeeder = Seeder | RedisSeeder


class ShipperProcess:
    """The shipper's composition."""

    def __init__(self, spec: ChildSpec) -> None:
        self._spec = spec
        self._clock = SystemClock()
        self._feed = StateFeed(spec.data)
        self._feed.load()
        snapshot = self._feed.snapshot
        self._counters = counting.open_desk(snapshot, self._clock)
        self._lost = None if isinstance(self._counters, RedisDesk) else LostCalls(self._counters, spec.data)
        self._stamp = LedgerStamp(paths.ledger_stamp(snapshot))
        self._host = read_host_id(spec.data).hex()
        self._hosts = 1
        self._matched = False
        self._store_is_down = asyncio.Event()

    async def run(self) -> None:
        """Recover, then ship until told to stop; the last pass ships what the workers left."""
        stop, room = stop_event(self._spec), CounterRoom(self._feed.snapshot, self._clock)
        self._recover()
        snapshot = self._feed.snapshot
        store = store_at(snapshot.store_url, snapshot.folder)
        keeper = StateKeeper(store, self._feed, StatePublisher(self._spec.data), self._clock)
        shipper = self._make_shipper(store)
        seeder = self._make_seeder(store, shipper)
        reported = ReportedUse(self._counters, store, self._feed, self._clock)
        left = LeftLimits(self._counters, self._feed, self._clock)
        tasks = [
            asyncio.create_task(every(RECOVER_INTERVAL, self._recover_again), name="recovery"),
            asyncio.create_task(every(PUBLISH_INTERVAL, lambda: self._publish(shipper)), name="publishing"),
            asyncio.create_task(every(ROOM_INTERVAL, room.turn), name="room for counters"),
        ]
        if await self._begin(stop, store, keeper, shipper, seeder):
            tasks += [
                asyncio.create_task(every(0, lambda: self._keep(store, keeper)), name="state"),
                asyncio.create_task(every(SEED_INTERVAL, lambda: self._seed(seeder)), name="seeding"),
                asyncio.create_task(every(SEED_INTERVAL, lambda: self._seed(reported)), name="reported use"),
                asyncio.create_task(every(SEED_INTERVAL, lambda: self._seed(left)), name="left limits"),
                asyncio.create_task(every(RECOVER_INTERVAL, lambda: self._count_hosts(store, seeder)), name="hosts"),
                asyncio.create_task(every(RECOVER_INTERVAL, lambda: self._mend(store)), name="lost calls"),
            ]
            settle_heap()
            await shipper.run(stop)
            self._note_mark(shipper.state.complete_until_us)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await store.close()
        self._counters.close()

    async def _begin(
        self, stop: asyncio.Event, store: Store, keeper: StateKeeper, shipper: Shipper, seeder: AnySeeder
    ) -> bool:
        """What should be true before the workers accept; False when told to stop first.

        A store that does not answer delays them only where there is nothing to judge calls by: no state yet, or no
        counters.
        """
        beginning = asyncio.create_task(self._take_over(stop, store, keeper, shipper, seeder), name="beginning")
        shared = isinstance(self._counters, RedisDesk)
        if self._feed.has_state and (shared or not seeder.is_fresh):
            down = asyncio.create_task(self._store_is_down.wait(), name="store down")
            await asyncio.wait({beginning, down}, timeout=STORE_PATIENCE, return_when=asyncio.FIRST_COMPLETED)
            down.cancel()
            if not beginning.done() and not seeder.is_fresh:
                say_ready(self._spec)
                return await beginning
        begun = await beginning
        say_ready(self._spec)
        return begun

    async def _take_over(
        self, stop: asyncio.Event, store: Store, keeper: StateKeeper, shipper: Shipper, seeder: AnySeeder
    ) -> bool:
        """Open the store and bring state and counters up to it; what fails later is tried again by the tasks."""
        if not await self._open(store, shipper, stop):
            return False
        try:
            await keeper.start()
            lost = self._lost.start_anew() if self._lost is not None else set()
            await self._match_ledger(store, seeder)
            # Counters that are there need no sums: records that wait in the spool, an hour's perhaps, delay nobody.
            if seeder.is_fresh:
                while await shipper.ship_once():
                    pass
                await seeder.rebuild()
            if self._lost is not None:
                self._lost.forget(lost)
        except StoreUnavailable as error:
            logger.error("the store does not answer at the start", extra={"reason": str(error)})
        return True

    async def _match_ledger(self, store: Store, seeder: AnySeeder) -> None:
        """Counters from another time than the ledger, one of them restored from a backup, are made anew from it."""
        if not isinstance(self._counters, RedisDesk) and self._counters.is_fresh:
            return
        marks = await store.ledger.hosts(PLATFORM)
        ledger_us = _mark_of(self._host, marks)
        if isinstance(self._counters, RedisDesk):
            # A stamp that is older says nothing: Redis was away while the ledger went on, or lost some, and began anew.
            known_us = self._counters.stamped(self._host)
            if known_us <= ledger_us + APART_US:
                self._matched = True
                return
            assert isinstance(seeder, RedisSeeder)
            seeder.start_anew()
        elif self._stamp.is_of(ledger_us):
            return
        else:
            known_us = self._stamp.known_us
        anew = self._counters.start_anew()
        self._matched = True
        logger.warning(
            RESTORED, extra={"ledger": str(from_us(ledger_us)), "counters": str(from_us(known_us)), "anew": anew}
        )

    def _note_mark(self, ledger_us: int) -> None:
        """Leave word beside the counters of which time's ledger they are."""
        if isinstance(self._counters, RedisDesk):
            with contextlib.suppress(StoreUnavailable):
                self._counters.stamp(self._host, ledger_us)
        else:
            self._stamp.write(ledger_us)

    def _make_seeder(self, store: Store, shipper: Shipper) -> AnySeeder:
        if isinstance(self._counters, RedisDesk):
            notes = counting.seeding_notes(self._spec.data)
            return RedisSeeder(self._counters, store, self._feed, self._clock, notes, shipper.caught_up, self._host)
        return Seeder(self._counters, store, self._feed, self._clock, shipper.caught_up)

    async def _seed(self, seeder: AnySeeder | ReportedUse | LeftLimits) -> None:
        try:
            await seeder.turn()
        except StoreUnavailable as error:
            logger.warning("counters wait for the ledger's sums", extra={"reason": str(error)})

    async def _open(self, store: Store, shipper: Shipper, stop: asyncio.Event) -> bool:
        """Open the store, however long it takes to come back; False when told to stop first."""
        snapshot = self._feed.snapshot
        while not stop.is_set():
            try:
                await bring_up(store, snapshot.store_url, snapshot.folder)
                return True
            except StoreUnavailable as error:
                shipper.failed(error)
                self._store_is_down.set()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), RETRY_STORE)
        return False

    def _make_shipper(self, store: Store) -> Shipper:
        data = self._spec.data
        return Shipper(
            SpoolReader(paths.spool(data)),
            store.ledger,
            self._clock,
            self._host,
            self._feed.snapshot.spool.keep_us,
            self._feed.snapshot.spool.max_size // 2,
            oldest_open=lambda: oldest_open_us(paths.inflight(data)),
            unrecovered=lambda: list_tables(paths.inflight(data)).keys(),
        )

    def _recover(self) -> None:
        """Settle what dead workers left; tables that are locked belong to the living."""
        data = self._spec.data
        for summary in recover_all(paths.inflight(data), paths.spool(data), self._counters):
            logger.warning("recovered the calls of a worker that died", extra={"recovered": str(summary)})

    async def _mend(self, store: Store) -> None:
        """Give back what calls hold whose table was lost while other workers live."""
        if self._lost is None or isinstance(self._counters, RedisDesk):
            return
        data, snapshot = self._spec.data, self._feed.snapshot
        comparing = Reconciliation(snapshot, store, SpoolReader(paths.spool(data)), data, self._counters)
        with contextlib.suppress(StoreUnavailable):  # it is tried again
            await self._lost.mend(comparing)

    async def _keep(self, store: Store, keeper: StateKeeper) -> None:
        """Bring changes to the workers as soon as the store tells of one, or a poll finds it (SEMANTICS §31)."""
        await store.changes.wait(PLATFORM, STATE_INTERVAL)
        await (keeper.turn() if keeper.started else keeper.start())

    async def _recover_again(self) -> None:
        self._recover()
        if isinstance(self._counters, RedisDesk):
            self._sweep(self._counters)

    def _sweep(self, desk: RedisDesk) -> None:
        """Release what workers held whose lease ended, on whatever host they were (SEMANTICS §21)."""
        try:
            for incarnation in desk.expired():
                released = desk.sweep(incarnation)
                logger.warning("released a lost worker's calls", extra={"worker": incarnation, "calls": released})
        except StoreUnavailable as error:
            logger.warning("redis does not answer", extra={"reason": str(error)})

    async def _count_hosts(self, store: Store, seeder: AnySeeder) -> None:
        """How many hosts shipped in the last minute; while the store is away the last number holds."""
        with contextlib.suppress(StoreUnavailable):
            if isinstance(self._counters, RedisDesk) and not self._matched:  # it did not answer at the start
                await self._match_ledger(store, seeder)
            seen_us = self._clock.now() - MINUTE_US
            marks = await store.ledger.hosts(PLATFORM)
            hosts = max(1, sum(mark.reported_us >= seen_us for mark in marks))
            if hosts > self._hosts and not isinstance(self._counters, RedisDesk):
                # SEMANTICS §33: each host admits up to every limit by itself.
                logger.error(ALONE, extra={"hosts": hosts})
            self._hosts = hosts
            if isinstance(self._counters, RedisDesk):
                self._note_mark(_mark_of(self._host, marks))

    async def _publish(self, shipper: Shipper) -> None:
        state = shipper.state
        self._stamp.write(state.complete_until_us)
        if not isinstance(self._counters, RedisDesk):
            with contextlib.suppress(StoreUnavailable):
                self._counters.follow()
        lag_us = self._clock.now() - state.complete_until_us if state.complete_until_us else 0
        write_json(
            paths.run(self._spec.data) / "shipper.json",
            {
                "pid": os.getpid(),
                "hosts": self._hosts,
                "shipped_records": state.shipped,
                "lost_records": state.lost,
                "ledger_lag_seconds": max(0.0, lag_us / 1e6),
                "behind": state.behind,
                "store_error": state.error,
            },
        )


def _mark_of(host: str, marks: Sequence[HostMark]) -> int:
    return next((mark.complete_until_us for mark in marks if mark.host == host), 0)


def main() -> None:
    """Process entry."""
    spec = read_spec()
    configure(spec.name, spec.log_level)

    async def ship() -> None:
        await ShipperProcess(spec).run()

    with refusing(), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(ship())


if __name__ == "__main__":
    main()
