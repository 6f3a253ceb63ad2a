"""What calls in progress on this host hold of the counters, read beside the workers that write it (SEMANTICS §30)."""

import logging
import mmap
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

from gateway.errors import GatewayError
from gateway.quotas.counter import CounterRequest, Reservation
from gateway.quotas.limit import Algorithm
from gateway.quotas.packing import unpack
from gateway.spool.recovery import RESERVE, Operation
from gateway.spool.table_format import SLOT, SLOT_HEAD, STATES_AT, State, TableHeader
from gateway.spool.tables import list_tables, read_table_header

logger = logging.getLogger(__name__)


def held_requests(directory: Path) -> list[tuple[int, CounterRequest]]:
    """Each amount that a call in progress has reserved and not settled, with the call's ``Decision.at``.

    A slot that changes while it is read is passed over: its call is of this moment.
    """
    held: list[tuple[int, CounterRequest]] = []
    for path in list_tables(directory).values():
        header, _ = read_table_header(path)
        if header is None:
            continue
        try:
            with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as table:
                if len(table) >= header.file_size:
                    held += _held_in(table, header)
        except FileNotFoundError:
            continue
    return held


def held_now(directory: Path, last_operation: Callable[[str], Operation | None]) -> dict[bytes, int]:
    """What calls in progress hold of concurrency counters, by key, at an instant in which nobody reserves or settles.

    As in a recovery, only an incarnation's last operation can differ from what its slots say.
    """
    held: dict[bytes, int] = defaultdict(int)
    for incarnation, path in list_tables(directory).items():
        header, _ = read_table_header(path)
        if header is None:
            continue
        last = last_operation(incarnation)
        try:
            with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as table:
                for reservation in _reservations(table, header, last):
                    for request in {one.counter.key: one for one in reversed(reservation.requests)}.values():
                        if request.counter.algorithm is Algorithm.CONCURRENT:
                            held[request.counter.key] += request.amount
        except FileNotFoundError:  # its worker ended, with no call in progress
            continue
    return held


def _reservations(table: mmap.mmap, header: TableHeader, last: Operation | None) -> Iterator[Reservation]:
    for slot, state in enumerate(table[STATES_AT : STATES_AT + header.slots]):
        if state not in (State.OPEN, State.RESERVED, State.SENT):
            continue
        at = header.slots_at + slot * header.slot_size
        call_id, _, _, _, length, _, returned = SLOT.unpack_from(table, at)
        in_doubt = last is not None and last.call_id == call_id
        taken = last.phase == RESERVE if last is not None and in_doubt else state != State.OPEN
        if taken and not returned and length:
            yield unpack(table[at + SLOT_HEAD : at + SLOT_HEAD + length])


def _held_in(table: mmap.mmap, header: TableHeader) -> Iterator[tuple[int, CounterRequest]]:
    for slot, state in enumerate(table[STATES_AT : STATES_AT + header.slots]):
        if state not in (State.RESERVED, State.SENT):
            continue
        at = header.slots_at + slot * header.slot_size
        _, _, at_us, _, length, _, returned = SLOT.unpack_from(table, at)
        if returned or not length or length > header.reservation_limit:
            continue
        packed = table[at + SLOT_HEAD : at + SLOT_HEAD + length]
        if table[STATES_AT + slot] != state:
            continue
        try:
            reservation = unpack(packed)
        except GatewayError:
            logger.debug("a slot changed while it was read", extra={"slot": slot})
            continue
        # SEMANTICS §16: limits that share a counter take from it once.
        for request in {request.counter.key: request for request in reversed(reservation.requests)}.values():
            yield at_us, request
