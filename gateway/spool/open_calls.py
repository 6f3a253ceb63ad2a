"""What calls in progress on this host hold of the counters, read beside the workers that write it (SEMANTICS §30)."""

import logging
import mmap
from collections.abc import Iterator
from pathlib import Path

from gateway.errors import GatewayError
from gateway.quotas.counter import CounterRequest
from gateway.quotas.packing import unpack
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
