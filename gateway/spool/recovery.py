"""Recovers the calls that a dead worker was in the middle of (SEMANTICS §3): each is recorded and counted once.

Recovery may be killed at any step and run again. A record is appended only if the incarnation's spool has none of the
call. Whether a last change of the counters happened is told by the counter store's journal, in which recovery signs
with the dead worker's name. Everything else is a mark made after the fact.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from gateway.errors import GatewayError
from gateway.metering.record import CallRecord, Flag
from gateway.quotas.counter import Reservation
from gateway.quotas.limit import Algorithm
from gateway.quotas.packing import unpack
from gateway.spool.dead_spool import DeadSpool
from gateway.spool.dead_table import DeadSlot, DeadTable
from gateway.spool.interrupted import interrupted
from gateway.spool.table_format import State
from gateway.spool.tables import list_tables, read_table_header

logger = logging.getLogger(__name__)

RESERVE = 1
"""The phase of an operation that took; all others gave back. The numbers stand in counter files and never change."""


class Operation(Protocol):
    """The last change that an incarnation made to the counters."""

    @property
    def call_id(self) -> bytes: ...
    @property
    def phase(self) -> int: ...
    @property
    def at_us(self) -> int: ...


class RecoverableCounters(Protocol):
    """What recovery asks of the counter store. ``incarnation`` is whose journal a change is noted in."""

    def last_operation(self, incarnation: str) -> Operation | None: ...
    def settle_now(
        self, call_id: bytes, at_us: int, reservation: Reservation, actual: Sequence[int], *, incarnation: str
    ) -> None: ...
    def release_now(self, call_id: bytes, at_us: int, reservation: Reservation, *, incarnation: str) -> None: ...
    def forget(self, incarnation: str) -> None: ...

    @property
    def by_call(self) -> bool:
        """Whether settling and releasing are idempotent by call id alone, so that no step is ever in doubt."""
        ...


@dataclass(slots=True)
class Recovered:
    """What was found in one table. ``calls`` were open; of them ``recorded`` had a record in the spool, and
    ``interrupted`` got one now. ``damaged`` slots could not be read whole. ``appended`` counts the spool's frames.
    """

    incarnation: str
    worker: int
    calls: int = 0
    recorded: int = 0
    interrupted: int = 0
    settled: int = 0
    released: int = 0
    damaged: int = 0
    appended: int = 0


def _go_on(step: str) -> None:
    """After each step; tests die here."""


def recover_all(
    directory: Path,
    spool_dir: Path,
    counters: RecoverableCounters,
    *,
    worker: int | None = None,
    on_step: Callable[[str], None] = _go_on,
) -> list[Recovered]:
    """Recover every table in ``directory`` whose worker is dead, or only those of one worker slot.

    A locked table belongs to a live worker, or to another recovery, and is left alone. A table that cannot be
    recovered is logged and left; the others are recovered.
    """
    done: list[Recovered] = []
    for path in list_tables(directory).values():
        header, _ = read_table_header(path)
        if worker is not None and (header is None or header.worker != worker):
            continue
        try:
            recovered = recover_table(path, spool_dir, counters, on_step=on_step)
        except (GatewayError, OSError):
            logger.exception("a worker's table could not be recovered", extra={"table": str(path)})
            continue
        if recovered is not None:
            done.append(recovered)
    return done


def recover_table(
    path: Path,
    spool_dir: Path,
    counters: RecoverableCounters,
    *,
    on_step: Callable[[str], None] = _go_on,
) -> Recovered | None:
    """Recover one table and retire it; None when it is not free to be taken.

    Raises ``OSError`` when the disk does not take the records, and ``GatewayError`` for what cannot be read: the
    table stays, and the next recovery goes on from there.
    """
    table = DeadTable.take(path)
    if table is None:
        return None
    try:
        spool = DeadSpool.take(spool_dir, table.header.incarnation, table.appended)
        if spool is None:
            return None
        try:
            return _Recovery(table, spool, counters, on_step).run()
        finally:
            spool.close()
    finally:
        table.close()


class _Recovery:
    """One run over one table."""

    def __init__(
        self, table: DeadTable, spool: DeadSpool, counters: RecoverableCounters, on_step: Callable[[str], None]
    ) -> None:
        self._table = table
        self._spool = spool
        self._counters = counters
        self._step = on_step
        self._incarnation = table.header.incarnation
        self._found: dict[bytes, list[CallRecord]] = {}
        self._summary = Recovered(self._incarnation, table.header.worker)

    def run(self) -> Recovered:
        self._resolve_doubt()
        slots = self._table.slots()
        self._summary.calls = len(slots)
        self._summary.damaged = sum(slot.record is None for slot in slots)
        wanted = {slot.call_id for slot in slots}
        self._found = self._spool.records(wanted, min((slot.floor for slot in slots), default=0))
        for slot in slots:
            self._record(slot)
        self._table.appended = self._summary.appended = self._spool.seal(self._table.appended)
        self._step("sealed")
        for slot in slots:
            self._give_back(slot)
            self._table.free(slot.index)
            self._step("freed")
        self._counters.forget(self._incarnation)
        self._step("forgotten")
        self._table.retire()
        return self._summary

    def _resolve_doubt(self) -> None:
        """Whoever died may have changed the counters and not lived to mark it. Only the last change can be in doubt."""
        last = self._counters.last_operation(self._incarnation)
        slot = next((slot for slot in self._table.slots() if last and slot.call_id == last.call_id), None)
        if last is None or slot is None:
            return
        if last.phase != RESERVE:
            self._table.mark_returned(slot.index)
        elif slot.state == State.OPEN:
            self._table.mark_reserved(slot.index, last.at_us)
        self._step("resolved")

    def _record(self, slot: DeadSlot) -> None:
        """A call that the upstream may have seen has a record."""
        parts = self._found.setdefault(slot.call_id, [])
        if any(part.part == 0 for part in parts):
            self._summary.recorded += 1
        elif slot.state == State.SENT:
            record = interrupted(slot)
            self._spool.append(record)
            self._step("appended")
            parts.append(record)
            self._summary.interrupted += 1

    def _give_back(self, slot: DeadSlot) -> None:
        """Settle what the call's records count, and give back what it reserved beyond that."""
        parts = self._found[slot.call_id]
        over = slot.state in (State.OPEN, State.SETTLED) and not self._counters.by_call
        if over or not slot.reservation or _was_not_reserved(parts):
            return
        try:
            reservation = unpack(slot.reservation)
        except GatewayError:
            logger.exception("a call's reservation is damaged; reconcile finds what it held")
            return
        # What a checkpoint delivered was added to the counters then; the reservation is the final part's.
        counted = [part.quota_units for part in parts if part.counted and not part.part]
        if counted:
            actual = actual_amounts(reservation, counted)
            self._counters.settle_now(slot.call_id, slot.at_us, reservation, actual, incarnation=self._incarnation)
            self._summary.settled += 1
        else:
            self._counters.release_now(slot.call_id, slot.at_us, reservation, incarnation=self._incarnation)
            self._summary.released += 1
        self._step("given back")
        self._table.mark_returned(slot.index)
        self._step("marked")


def _was_not_reserved(parts: Sequence[CallRecord]) -> bool:
    """The store had not answered when the call was let pass."""
    return any(part.flags & Flag.STORE_OPEN for part in parts)


def actual_amounts(reservation: Reservation, counted: Sequence[Mapping[str, int]]) -> tuple[int, ...]:
    """What the counted records of a call took from each counter; a concurrency limit holds nothing after the call."""
    return tuple(
        0
        if request.counter.algorithm is Algorithm.CONCURRENT
        else sum(units.get(request.counter.limit.meter, 0) for units in counted)
        for request in reservation.requests
    )
