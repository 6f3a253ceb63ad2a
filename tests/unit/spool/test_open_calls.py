"""What calls in progress hold of the counters, read from a live worker's table."""

from collections.abc import Callable
from pathlib import Path

from gateway.clock import MINUTE_US
from gateway.metering.record import CallRecord
from gateway.quotas.binding import bind
from gateway.quotas.limit import Algorithm, DurationWindow, Limit
from gateway.spool.inflight import InflightTable
from gateway.spool.open_calls import held_requests
from gateway.tenants.model import Tenant

NOW = 1_795_000_000_000_000


def test_only_what_is_reserved_and_not_settled(tmp_path: Path, new_record: Callable[..., CallRecord]) -> None:
    window = DurationWindow(MINUTE_US)
    limits = [
        Limit(name, "calls", 9, window, Algorithm.SLIDING, mode=mode) for name, mode in (("a", "hard"), ("b", "soft"))
    ]
    held = bind(limits, {}, Tenant("acme", "Acme", "free"), "k1", "weather").reservation(NOW, {"calls": 3})
    assert held_requests(tmp_path) == []
    table = InflightTable.create(tmp_path, "h-0-x", 0, slots=8)
    slots = []
    for _ in range(5):
        record = new_record()
        slots.append(table.open(record.id, record, held.packed))
    for number, slot in enumerate(slots[1:]):
        table.reserved(slot, NOW + number)
    table.sent(slots[2])
    table.settled(slots[3])
    table.close(slots[4])
    found = held_requests(tmp_path)
    # The two limits share one counter, which a call takes from once.
    assert sorted((at_us, request.amount) for at_us, request in found) == [(NOW, 3), (NOW + 1, 3)]
    assert {request.counter.key for _, request in found} == {held.requests[0].counter.key}
    table.reserved(table.open(new_record().id, new_record(), held.packed), NOW, False)  # let pass by policy
    assert len(held_requests(tmp_path)) == 2
    table.detach()
