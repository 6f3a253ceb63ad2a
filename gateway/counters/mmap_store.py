"""Counters of one host in a memory-mapped file (SEMANTICS §20): every worker takes its limits in one atomic step."""

import logging
import mmap
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gateway.clock import Clock
from gateway.counters import journal, plan
from gateway.counters import layout as at
from gateway.counters.clock import advance, nanoseconds, store_clock
from gateway.counters.entry import Entry, due, entries_of, is_seeded, put_entry, seed_entry
from gateway.counters.growing import Succession, one_at_a_time, wanted
from gateway.counters.journal import Journal, Operation
from gateway.counters.layout import Capacity, Layout, Phase
from gateway.counters.lock import DEADLINE_US, FREE, NOW, OPENING_US, FileLock, flock
from gateway.counters.mapfile import CounterFile, Mapper, open_current, restore
from gateway.counters.plan import Change, Item, Plan
from gateway.counters.seeding import Notes, Unseeded
from gateway.counters.table import Table
from gateway.errors import StoreUnavailable
from gateway.quotas.counter import Counter, CounterRequest, CounterStore, Decision, LimitState, Reservation
from gateway.quotas.limit import Algorithm

_unpack_hot: Final = at.HOT.unpack_from
_pack_clock: Final = at.CLOCK.pack
_pack_journal: Final = at.JOURNAL.pack
_CLOCK_END: Final = at.CLOCK_AT + 24
_logger = logging.getLogger(__name__)
_FINISHED: Final = 4096  # calls remembered as settled or released


class MmapCounterStore:
    """A ``CounterStore`` that never suspends; ``reserve_now``, ``settle_now`` and ``release_now`` are its sync twins.

    Not thread-safe: one store per process (or thread), each with its own opening of the lock.
    """

    by_call = False
    """Whether a step was done is told by the journal, for each incarnation's last (see ``spool.recovery``)."""

    def __init__(
        self, directory: Path, clock: Clock, incarnation: str, capacity: Capacity, mapper: Mapper, deadline_us: int
    ) -> None:
        self._directory = directory
        self._clock = store_clock(clock)
        self._wall_ns, self._mono_ns = nanoseconds(self._clock)
        self.incarnation = incarnation
        self._capacity = capacity
        self._mapper = mapper
        self._notes = Notes(directory / "unseeded")
        self._finished: dict[bytes, None] = {}
        self._finished_before: dict[bytes, None] = {}
        self._lock = FileLock(directory / "lock")
        self._acquire, self._unlock = partial(self._lock.acquire, deadline_us), self._lock.release
        self._lock.acquire(OPENING_US)
        try:
            self._remap()
        finally:
            self._unlock()
        self.is_fresh = self._file.fresh
        """Whether this opening made the file: everything must be rebuilt from the ledger."""

    @classmethod
    def open(
        cls, path: Path, clock: Clock, incarnation: str = "", *, capacity: Capacity | None = None,
        mapper: Mapper = mmap.mmap, deadline_us: int = DEADLINE_US,
    ) -> "MmapCounterStore":  # fmt: skip
        """Open the counters in the folder ``path``, making them (with ``capacity``) when there are none.

        ``incarnation`` names the worker in the journal; empty for a process that reserves for nobody. ``deadline_us``
        is how long the lock is waited for. Raises ``StoreUnavailable``.
        """
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            return cls(path, clock, incarnation, capacity or Capacity(), mapper, deadline_us)
        except OSError as error:
            raise StoreUnavailable(f"no counters in {path}: {error}", "unavailable") from error

    def close(self) -> None:
        """Let go of the file and the lock; what is counted stays."""
        self._file.close()
        self._lock.close()

    async def reserve(self, call_id: bytes, reservation: Reservation) -> Decision:
        return self.reserve_now(call_id, reservation)

    async def settle(self, call_id: bytes, at_us: int, reservation: Reservation, actual: Sequence[int]) -> None:
        self.settle_now(call_id, at_us, reservation, actual)

    async def release(self, call_id: bytes, at_us: int, reservation: Reservation) -> None:
        self.release_now(call_id, at_us, reservation)

    async def count(self, call_id: bytes, at_us: int, reservation: Reservation, actual: Sequence[int]) -> None:
        requests = tuple([CounterRequest(request.counter, 0) for request in reservation.requests])
        nothing = Reservation(requests, b"", reservation.tenant)
        self.reserve_now(bytes(16), nothing)  # made, and in this window
        self._finish(call_id, at_us, nothing, actual, Phase.SETTLE, "")

    def now(self) -> int:
        """The store's time. It never fails: while the lock is busy it is read, and not noted as given to others."""
        try:
            flock(self._lock.fd, NOW)
        except OSError:
            return advance(*self._file.reading(), self._mono_ns() // 1000, self._wall_ns() // 1000)[2]
        try:
            return self._tick()
        finally:
            self._unlock()

    def reserve_now(self, call_id: bytes, reservation: Reservation) -> Decision:
        """Take all requests in one step, or none; raises ``StoreUnavailable``."""
        try:
            flock(self._lock.fd, NOW)  # in line, here only: a method call is a tenth of the lock's cost
        except OSError:
            self._acquire()
        try:
            at_us = self._tick()
            known = reservation.known
            if not isinstance(known, Plan) or known.source is not self._map:
                known, at_us = self._plan(reservation, at_us)
            taken = plan.evaluate(self._map, known.items, at_us)
            if taken is None:  # an entry was evicted or reused since
                known, at_us = self._plan(reservation, at_us)
                taken = plan.evaluate(self._map, known.items, at_us)
                if taken is None:
                    raise StoreUnavailable("the counters of one call evict each other", "counters_full")
            if taken[0]:
                self._commit(taken[3], self._journal, call_id, 1, at_us)  # Phase.RESERVE
            return plan.decide(self._map, known.items, taken, at_us)
        finally:
            flock(self._lock.fd, FREE)

    def settle_now(
        self, call_id: bytes, at_us: int, reservation: Reservation, actual: Sequence[int], *, incarnation: str = ""
    ) -> None:
        """Replace the reserved amounts by the actual ones, in the windows of ``at_us``; raises ``StoreUnavailable``.

        Without a difference nothing is touched: a counter holds counted and reserved units in one sum.
        ``incarnation`` is whose journal the step is noted in: a recovery gives that of the worker it recovers, so
        that the next recovery, should this one die, finds all in one place.
        """
        deltas = [got - request.amount for request, got in zip(reservation.requests, actual, strict=True)]
        self._finish(call_id, at_us, reservation, deltas, Phase.SETTLE, incarnation)

    def release_now(self, call_id: bytes, at_us: int, reservation: Reservation, *, incarnation: str = "") -> None:
        """Give everything back: the call was not counted."""
        deltas = [-request.amount for request in reservation.requests]
        self._finish(call_id, at_us, reservation, deltas, Phase.RELEASE, incarnation)

    def read(self, counters: Sequence[Counter], now_us: int = 0) -> tuple[LimitState, ...]:
        """The limits' states without taking; ``now_us`` is ignored when it is behind the store's time."""
        with self._locked() as store_us:
            at_us = max(store_us, now_us)
            return tuple(plan.state_of(self._map, self._offset(counter), counter, at_us) for counter in counters)

    def last_operation(self, incarnation: str) -> Operation | None:
        """What that worker incarnation did last; None if nothing, or if it is forgotten."""
        with self._locked():
            found = journal.find(self._file, incarnation)
            return found.operation if found else None

    def forget(self, incarnation: str) -> None:
        """Free the journal of a recovered incarnation."""
        with self._locked():
            journal.forget(self._file, incarnation)

    def unseeded(self) -> list[Unseeded]:
        """The counters that wait for the ledger's sum, oldest first; looked up without keeping the lock for long."""
        notes, size = self._notes.each()
        waiting = list({note.key: note for note in notes if self._awaits_seed(note)}.values())
        with self._locked():
            self._notes.keep(waiting, size)
        return waiting

    def seed(self, key: bytes, rows: Iterable[tuple[int, int]]) -> bool:
        """Add the ledger's (``at_us``, units) to a counter, once; those outside its window are passed over.

        For a calendar window one row with the sum will do. False when there is no such counter, or it has its sum.
        """
        with self._locked():
            return seed_entry(self._map, self._table, key, rows)

    def amend(self, key: bytes, rows: Iterable[tuple[int, int]]) -> bool:
        """Set a counter right by (``at_us``, units) rows; units may be negative. For reconciliation.

        Rows outside the counter's window are passed over. False when there is no such calendar or sliding counter.
        """
        with self._locked():
            return seed_entry(self._map, self._table, key, rows, again=True)

    def put(self, counter: Counter, used: int) -> None:
        """Set what a tenant's calendar counter has used in the present window: the sum of what was reported."""
        self.reserve_now(bytes(16), Reservation((CounterRequest(counter, 0),), b""))  # made, and in this window
        with self._locked():
            if (offset := self._offset(counter)) is not None:
                put_entry(self._map, self._table, offset, used)

    def drop(self, counters: Sequence[Counter]) -> None:
        """Take counters away: no limit counts in them any more. One that is wanted again is made anew, and seeded."""
        for counter in counters:
            with self._locked():
                if (offset := self._offset(counter)) is not None:
                    self._table.take_away(self._table.region_for(counter.algorithm), offset)

    def dump(self) -> Iterator[Entry]:
        """Every counter of the host, for reconciliation; read without the lock, so they may be of nearby instants."""
        return entries_of(self._map, self._table)

    def occupancy(self) -> dict[str, tuple[int, int]]:
        """Per region: slots ever used, and capacity."""
        layout = self._file.layout
        return {region.name: (self._table.occupied(region), region.capacity) for region in layout.regions}

    def follow(self) -> None:
        """Leave a file that was deleted or set aside, with all who count in it; raises ``StoreUnavailable``."""
        if self._file.has_its_name():
            return
        with self._locked():
            if not self._file.has_its_name():
                _logger.error("the counter file is gone or was set aside; counters start anew from the ledger")
                self._map[at.SUPERSEDED_AT : at.SUPERSEDED_AT + 8] = (self._file.generation + 1).to_bytes(8, "little")
                self._tick()

    def grow(self, least: Capacity) -> Capacity | None:
        """Go on in a new generation with more room, if a region is full or smaller than ``least``; the new capacity.

        All workers follow at their next call. They wait only for what changed while the rest was copied. None when
        nothing needs be done, or another process does it. Raises ``StoreUnavailable``; nothing has changed then.
        """
        at_us = self.now()
        capacity = wanted(self._file, least, at_us)
        return self.renew(capacity) if capacity is not None else None

    def start_anew(self) -> bool:
        """Go on in a new generation that holds no entry: everything must be rebuilt. False: somebody else renews it."""
        anew = self.renew(empty=True) is not None
        self.is_fresh = self.is_fresh or anew
        return anew

    def renew(self, capacity: Capacity | None = None, *, empty: bool = False) -> Capacity | None:
        """Go on in a new generation that holds only the entries still counting, or none; otherwise as ``grow``."""
        self.now()  # follows a generation that came first
        old = self._file
        layout = Layout(capacity or old.layout.capacity)
        with one_at_a_time(self._directory) as alone:
            if not alone:
                return None
            succession = Succession(old, self._directory, layout, self._mapper, empty=empty)
            try:
                with self._locked() as at_us:
                    if self._file is not old:
                        return None  # another came first
                    succession.take_over(at_us)
                    self._remap()
            finally:
                succession.close()
        old.close()
        return layout.capacity

    def _tick(self) -> int:
        """With the lock just taken: follow a new generation, undo what a dead holder left, and tell the time."""
        superseded, dirty, anchor_mono, anchor_us, last_us = _unpack_hot(self._map, at.HOT_AT)
        if superseded:
            old = self._file
            self._remap()  # which may fail: then it is tried again at the next call
            old.close()
            return self._tick()
        if dirty:
            restore(self._file)
        self._last_us = last_us
        mono, wall_us = self._mono_ns() // 1000, self._wall_ns() // 1000
        if wall_us >= last_us and wall_us >= anchor_us + (mono - anchor_mono) * 9 // 10:  # advance(), its usual case
            self._map[at.CLOCK_AT : _CLOCK_END] = _pack_clock(mono, wall_us, wall_us)
            return wall_us
        reading = advance(anchor_mono, anchor_us, last_us, mono, wall_us)
        self._map[at.CLOCK_AT : _CLOCK_END] = _pack_clock(*reading)
        return reading[2]

    def _remap(self) -> None:
        self._file = open_current(self._directory, self._capacity, self._clock, self._mapper)
        self._map = self._file.map
        self._large_from = self._file.layout.sliding.start
        self._table = Table(self._file)
        self._journal = journal.find_or_make(self._file, self.incarnation)

    def _offset(self, counter: Counter) -> int | None:
        return self._table.find(counter.key, counter.algorithm, counter.volatile)

    def _plan(self, reservation: Reservation, at_us: int) -> tuple[Plan, int]:
        """The places of a reservation's counters, made where they are not there, and the time after that."""
        places = {one.counter.key: self._offset(one.counter) for one in reservation.requests}
        missing = [one.counter for one in reservation.requests if places[one.counter.key] is None]
        if missing:
            at_us = self._after_all_others(at_us)
            places |= self._make(missing, at_us)
        items: list[Item] = []
        for request in reservation.requests:
            offset = places[request.counter.key]
            assert offset is not None
            items.append(Item(request, offset, items))
        made = Plan(self._map, tuple(items))
        reservation.remember(made)
        return made, at_us

    def _awaits_seed(self, note: Unseeded) -> bool:
        with self._locked():
            offset = self._table.find(note.key, note.algorithm, volatile=False)
            return offset is not None and not is_seeded(self._map, offset)

    @contextmanager
    def alone(self) -> Iterator[tuple[CounterFile, Table]]:
        """The file and its entries, while nobody else counts; raises ``StoreUnavailable``."""
        with self._locked():
            yield self._file, self._table

    @contextmanager
    def _locked(self) -> Iterator[int]:
        """The lock, and the store's time in it; for everything that is not on the way of a call."""
        self._acquire()
        try:
            yield self._tick()
        finally:
            self._unlock()

    def _make(self, counters: Sequence[Counter], at_us: int) -> dict[bytes, int]:
        """New entries, each once, by key: where they are."""
        self._notes.begin(counters, at_us)
        made: dict[bytes, int] = {}
        for counter in counters:
            if counter.key not in made:
                made[counter.key] = self._table.create(counter, at_us)
        return made

    def _after_all_others(self, at_us: int) -> int:
        """A time that no call has had: those before it are the ledger's to seed, those from it on are counted here."""
        if at_us > self._last_us:
            return at_us
        anchor_mono, anchor_us, _ = self._file.reading()
        self._last_us = at_us
        self._file.write_reading((anchor_mono, anchor_us, at_us + 1))
        return at_us + 1

    def _finish(
        self, call_id: bytes, at_us: int, reservation: Reservation, deltas: Sequence[int], phase: Phase,
        incarnation: str,
    ) -> None:  # fmt: skip
        if call_id in self._finished or call_id in self._finished_before:
            return
        if any(deltas):
            self._acquire()
            try:
                now_us = self._tick()
                own = journal.find_or_make(self._file, incarnation) if incarnation else self._journal
                if not own.has_finished(call_id):
                    changes = self._corrections(reservation, deltas, at_us, now_us)
                    self._commit(changes, own, call_id, phase, at_us)
            finally:
                self._unlock()
        self._finished[call_id] = None
        if len(self._finished) > _FINISHED:
            self._finished_before, self._finished = self._finished, {}

    def _corrections(self, reservation: Reservation, deltas: Sequence[int], at_us: int, now_us: int) -> list[Change]:
        changes: dict[bytes, Change] = {}
        known = reservation.known
        items = known.items if isinstance(known, Plan) and known.source is self._map else ()
        for place, (request, delta) in enumerate(zip(reservation.requests, deltas, strict=True)):
            counter = request.counter
            if not delta or counter.key in changes:
                continue
            known_at = items[place].offset if items and plan.is_its_own(self._map, items[place]) else None
            offset = self._offset(counter) if known_at is None else known_at
            if offset is None and counter.algorithm is Algorithm.BUCKET and delta > 0:
                # It ran empty and its slot was reused, but the units are due.
                offset = self._make([counter], now_us)[counter.key]
            if offset is None:
                continue
            delta = due(self._map, offset, request, delta, at_us)
            change = plan.correct(self._map, offset, counter, delta, at_us, now_us) if delta else None
            if change is not None:
                changes[counter.key] = change
        return list(changes.values())

    def _commit(self, changes: list[Change], own: Journal, call_id: bytes, phase: int, at_us: int) -> None:
        """Write all changes, and the journal, in a step that a crash leaves done or undone (SEMANTICS §20)."""
        if not changes:
            return
        target, count = self._map, len(changes)
        copies = [own.content]
        copies += [change[1] for change in changes]
        for change in changes:
            if change[4]:
                stride, large = at.UNDO_STRIDE, self._large_from
                copies[1:] = [
                    target[offset : offset + stride] if offset >= large else head.ljust(stride)
                    for offset, head, _, _, _ in changes
                ]
                count |= at.WHOLE
                break
        undo = b"".join(copies)
        target[at.UNDO_JOURNAL_AT : at.UNDO_JOURNAL_AT + len(undo)] = undo
        target[at.DIRTY_AT] = count
        for offset, _, words, cells, _ in changes:
            target[offset + 24 : offset + 64] = words
            for cell, units in cells:
                place = offset + at.CELLS_AT + 8 * cell
                target[place : place + 8] = at.CELL.pack(units)
        if place := own.offset:
            content = _pack_journal(own.name, call_id, at_us, phase, place)
            target[place : place + at.JOURNAL_SIZE] = content
            own.content = content
        target[at.DIRTY_AT] = 0


if TYPE_CHECKING:
    _: type[CounterStore] = MmapCounterStore
