"""What the shipper asks of a counter file beside the calls: whose journals there are, since when a counter counts."""

from collections.abc import Callable, Iterable, Mapping

from gateway.counters import journal
from gateway.counters.entry import put_held, read_entry
from gateway.counters.journal import Operation
from gateway.counters.mmap_store import MmapCounterStore
from gateway.errors import StoreUnavailable
from gateway.quotas.counter import Counter
from gateway.quotas.limit import Algorithm

LastOperation = Callable[[str], Operation | None]
"""What an incarnation did last."""


def journals(store: MmapCounterStore) -> set[bytes]:
    """The ``journal_name`` of every incarnation that changed counters and is not forgotten."""
    with store.alone() as (file, _):
        return set(journal.in_use(file))


def forget(store: MmapCounterStore, names: Iterable[bytes]) -> None:
    """Free these journals."""
    with store.alone() as (file, _):
        used = journal.in_use(file)
        for offset in (used[name] for name in names if name in used):
            file.map[offset : offset + len(journal.BLANK)] = journal.BLANK


def made_us(store: MmapCounterStore, counter: Counter) -> int:
    """Since when a tenant's calendar or sliding counter counts; 0 for one that is not there."""
    with store.alone() as (file, table):
        offset = table.find(counter.key, counter.algorithm, counter.volatile)
        entry = None if offset is None else read_entry(file.map, table.region_for(counter.algorithm), offset)
        return entry.created_us if entry is not None else 0


def recount(store: MmapCounterStore, held: Callable[[LastOperation], Mapping[bytes, int]]) -> int:
    """Let concurrency counters hold what calls in progress hold; how many did not (SEMANTICS §19).

    ``held`` tells it by key, and is called while nobody counts. Raises ``StoreUnavailable``, also in the rare moment
    when the counters move to a new generation.
    """
    with store.alone() as (file, table):
        pass
    places = [
        (region, offset, entry.key)
        for region, offset in table.offsets()  # many: looked through without the lock
        if (entry := read_entry(file.map, region, offset)) and entry.algorithm is Algorithm.CONCURRENT
    ]
    with store.alone() as (present, table):
        if present is not file:
            raise StoreUnavailable("the counters have moved", "unavailable")

        def last_operation(incarnation: str) -> Operation | None:
            found = journal.find(file, incarnation)
            return found.operation if found else None

        sums = held(last_operation)
        return sum(put_held(file.map, table, region, offset, key, sums.get(key, 0)) for region, offset, key in places)
