"""The shipper over a real spool and ledger: gaps, restarts, restored ledgers, stores that are away, watermarks."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from support.records import T0, call

from gateway.clock import SECOND_US, ManualClock
from gateway.errors import StoreUnavailable
from gateway.metering.ports import Frame, Position
from gateway.metering.record import encode
from gateway.runtime import shipping
from gateway.runtime.shipping import Shipper, unbroken
from gateway.spool.cursor import Damage
from gateway.spool.reader import SpoolReader
from gateway.spool.segment import HEADER_SIZE
from gateway.spool.writer import SpoolWriter
from gateway.storage.ledger import Ledger
from gateway.storage.ports import PLATFORM, Scope
from gateway.storage.store import Store, open_store

KEEP_US = 10 * SECOND_US
KEEP_BYTES = 1 << 30


class MemorySpool:
    """A spool held in a dict; ``lost`` names sequences that cannot be read any more."""

    def __init__(self) -> None:
        self.frames: dict[str, list[Frame]] = {}
        self.lost: set[tuple[str, int]] = set()
        self.discards: list[tuple[dict[str, int], int, int]] = []
        self.sizes: list[int] = []

    def append(self, incarnation: str, count: int) -> None:
        spool = self.frames.setdefault(incarnation, [])
        for _ in range(count):
            spool.append(Frame(Position(incarnation, len(spool) + 1), encode(call(T0))))

    def incarnations(self) -> list[str]:
        return sorted(self.frames)

    def read(self, position: Position, limit: int, max_bytes: int = 1 << 20) -> list[Frame]:
        there = self.frames[position.incarnation][position.sequence :]
        return [one for one in there if (one.position.incarnation, one.position.sequence) not in self.lost][:limit]

    def take_damage(self) -> list[Damage]:
        return []

    def crowded(self, most_bytes: int) -> bool:
        return bool(self.sizes) and self.sizes.pop(0) > most_bytes

    def discard(self, acknowledged, keep_us: int, now_us: int, unrecovered=()) -> int:  # type: ignore[no-untyped-def]
        self.discards.append((dict(acknowledged), keep_us, now_us))
        return 0


class FailingLedger:
    """Lets ``failures`` calls fail before it works."""

    def __init__(self, ledger: Ledger, failures: int) -> None:
        self._ledger = ledger
        self.failures = failures

    def _fail(self) -> None:
        if self.failures:
            self.failures -= 1
            raise StoreUnavailable("database is locked")

    async def post(self, incarnation: str, frames: Sequence[Frame]) -> int:
        self._fail()
        return await self._ledger.post(incarnation, frames)

    async def skip(self, incarnation: str, first: int, last: int, reason: str) -> int:
        return await self._ledger.skip(incarnation, first, last, reason)

    async def cursors(self, scope: Scope) -> dict[str, int]:
        self._fail()
        return await self._ledger.cursors(scope)

    async def mark_host(self, scope: Scope, host: str, complete_until_us: int, now_us: int) -> None:
        await self._ledger.mark_host(scope, host, complete_until_us, now_us)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await open_store("sqlite:///gateway.db", tmp_path)
    yield opened
    await opened.close()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(T0 + SECOND_US)


async def drain(shipper: Shipper) -> int:
    shipped = await shipper.ship_once()
    while shipper.state.behind:
        shipped += await shipper.ship_once()
    return shipped


async def test_everything_is_shipped_once_and_a_new_shipper_goes_on(store: Store, clock: ManualClock) -> None:
    spool = MemorySpool()
    spool.append("a", 12)
    spool.append("b", 3)
    assert await drain(Shipper(spool, store.ledger, clock, "h", KEEP_US, KEEP_BYTES)) == 15
    spool.append("a", 2)
    assert await drain(Shipper(spool, store.ledger, clock, "h", KEEP_US, KEEP_BYTES)) == 2
    assert await store.ledger.cursors(PLATFORM) == {"a": 14, "b": 3}
    assert await store.ledger.count_calls(PLATFORM) == 17


async def test_large_backlogs_go_in_batches(store: Store, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipping, "BATCH_FRAMES", 10)
    spool = MemorySpool()
    spool.append("a", 25)
    shipper = Shipper(spool, store.ledger, clock, "h", KEEP_US, KEEP_BYTES)
    assert await shipper.ship_once() == 10
    assert shipper.state.behind
    assert await store.ledger.complete_until(PLATFORM) == 0  # behind: nothing is said to be complete
    assert await drain(shipper) == 15
    assert await store.ledger.complete_until(PLATFORM) == clock.now()


async def test_what_the_spool_lost_is_a_difference_and_not_the_end(store: Store, clock: ManualClock) -> None:
    spool = MemorySpool()
    spool.append("a", 10)
    spool.lost = {("a", 1), ("a", 5), ("a", 6)}
    await drain(Shipper(spool, store.ledger, clock, "h", KEEP_US, KEEP_BYTES))
    held = [(one.first, one.last) for one in await store.ledger.quarantined(PLATFORM)]
    assert held == [(1, 1), (5, 6)]
    assert await store.ledger.count_calls(PLATFORM) == 7


async def test_a_restored_ledger_is_shipped_again(tmp_path: Path, store: Store, clock: ManualClock) -> None:
    spool = MemorySpool()
    spool.append("a", 6)
    shipper = Shipper(spool, store.ledger, clock, "h", KEEP_US, KEEP_BYTES)
    await drain(shipper)
    older = await open_store("sqlite:///older.db", tmp_path)
    await older.ledger.post("a", spool.frames["a"][:2])
    shipper._ledger = older.ledger
    spool.append("a", 1)
    await drain(shipper)
    assert await older.ledger.cursors(PLATFORM) == {"a": 7}
    assert await older.ledger.ids(PLATFORM) >= await store.ledger.ids(PLATFORM)
    await older.close()


async def test_the_store_may_be_away(store: Store, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipping, "BACKOFF_S", (0.001,))
    monkeypatch.setattr(shipping, "POLL_S", 0.001)
    spool, stop = MemorySpool(), asyncio.Event()
    spool.append("a", 4)
    failing = FailingLedger(store.ledger, 5)
    shipper = Shipper(spool, failing, clock, "h", KEEP_US, KEEP_BYTES)
    running = asyncio.create_task(shipper.run(stop))
    while shipper.state.shipped < 4:  # noqa: ASYNC110 - the shipper has no event to wait for
        await asyncio.sleep(0)
    spool.append("a", 1)
    stop.set()
    await running
    assert (failing.failures, shipper.state.failing_since_us) == (0, 0)
    assert await store.ledger.cursors(PLATFORM) == {"a": 5}  # what was there at the end went too


async def test_the_watermark_waits_for_open_calls_and_never_goes_back(store: Store, clock: ManualClock) -> None:
    open_since: list[int | None] = [T0 + 5]
    shipper = Shipper(MemorySpool(), store.ledger, clock, "h", KEEP_US, KEEP_BYTES, oldest_open=lambda: open_since[0])
    await shipper.ship_once()
    assert await store.ledger.complete_until(PLATFORM) == T0 + 5
    open_since[0] = None
    clock.advance(2 * SECOND_US)
    await shipper.ship_once()
    assert await store.ledger.complete_until(PLATFORM) == clock.now()
    before = clock.now()
    clock.step(-60 * SECOND_US)
    clock.advance(2 * SECOND_US)
    await shipper.ship_once()
    assert await store.ledger.complete_until(PLATFORM) == before


async def test_acknowledged_segments_are_offered_for_deletion_once_a_minute(store: Store, clock: ManualClock) -> None:
    spool = MemorySpool()
    spool.append("a", 3)
    shipper = Shipper(spool, store.ledger, clock, "h", KEEP_US, KEEP_BYTES)
    await shipper.ship_once()
    assert spool.discards == []
    clock.advance(61 * SECOND_US)
    await shipper.ship_once()
    await shipper.ship_once()
    assert spool.discards == [({"a": 3}, KEEP_US, clock.now())]


async def test_a_spool_that_grows_large_keeps_what_is_shipped_for_less_long(store: Store, clock: ManualClock) -> None:
    spool = MemorySpool()
    spool.append("a", 3)
    shipper = Shipper(spool, store.ledger, clock, "h", KEEP_US, KEEP_BYTES)
    spool.sizes = [KEEP_BYTES + 1] * 3 + [KEEP_BYTES]
    clock.advance(2 * SECOND_US)
    await shipper.ship_once()
    assert [keep_us for _, keep_us, _ in spool.discards] == [KEEP_US, KEEP_US // 2, KEEP_US // 4]
    spool.sizes, spool.discards = [KEEP_BYTES + 1] * 100, []
    clock.advance(2 * SECOND_US)
    await shipper.ship_once()
    assert spool.discards[-1][1] == 0  # however short: and then that is all


def test_unbroken() -> None:
    frames = [Frame(Position("a", n), b"x") for n in (4, 5, 7, 8)]
    assert [one.position.sequence for one in unbroken(frames)] == [4, 5]
    assert unbroken(frames[:2]) == frames[:2]
    assert unbroken([frames[0], Frame(Position("a", 5), b"")]) == frames[:1]


async def test_a_flipped_bit_is_quarantined_with_its_reason_and_told(
    tmp_path: Path, store: Store, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    spool = tmp_path / "spool"
    writer = SpoolWriter.create(spool, "h-0-a", bytes(16), fsync="interval", max_size=1 << 24, clock=clock)
    for _ in range(20):
        writer.append(call(T0))
    writer.close()
    segment = spool / "h-0-a" / "00000001.seg"
    content = bytearray(segment.read_bytes())
    size = len(content.rstrip(b"\0")) // 20
    content[HEADER_SIZE + 5 * size + size // 2] ^= 4
    segment.write_bytes(content)
    reader = SpoolReader(spool)
    shipper = Shipper(reader, store.ledger, clock, "h", KEEP_US, KEEP_BYTES)
    await drain(shipper)
    reader.close()
    (held,) = await store.ledger.quarantined(PLATFORM)
    assert held.first == held.last
    assert "frame in 00000001.seg" in held.reason
    assert (shipper.state.lost, await store.ledger.count_calls(PLATFORM)) == (1, 19)
    assert "reconcile will show them" in caplog.text
    assert await store.ledger.cursors(PLATFORM) == {"h-0-a": 20}
