"""Which counters a configuration asks for: a memory-mapped file of this host, or a Redis that hosts share."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from gateway.clock import Clock, SystemClock
from gateway.config.redis_url import RedisAddress, parse_redis_url
from gateway.config.snapshot import Snapshot
from gateway.counters.layout import Capacity
from gateway.counters.mmap_store import MmapCounterStore
from gateway.counters.redis_desk import RedisDesk
from gateway.quotas.counter import Counter, LimitState
from gateway.runtime import paths

_OWN_CAPACITY = Capacity(1 << 17, 1 << 17, 1 << 13)
"""Room for a sliding limit on each of 100,000 keys: 88 MiB of disk, of which memory holds what is in use."""
_HOST_CAPACITY = Capacity(1 << 14, 1 << 13, 1 << 10)
"""Of the file beside a Redis: the host's time, and what ``on_store_error: local`` counts."""


class CounterDesk(Protocol):
    """Counters as pages and commands see them."""

    def now(self) -> int: ...
    def read(self, counters: Sequence[Counter], now_us: int = 0) -> tuple[LimitState, ...]: ...
    def close(self) -> None: ...


def redis_address(snapshot: Snapshot) -> RedisAddress | None:
    """Where the Redis of ``counters.url`` is; None for ``mmap:``."""
    if snapshot.counters_url.startswith("mmap:"):
        return None
    return replace(parse_redis_url(snapshot.counters_url), deadline=snapshot.counters_deadline_us / 1e6)


def open_host_counters(snapshot: Snapshot, clock: Clock, incarnation: str = "") -> MmapCounterStore:
    """The counters of this host alone: all there are with ``mmap:``, time and stand-in beside a Redis."""
    capacity = capacity_of(snapshot)
    if redis_address(snapshot) is None:
        folder, patience_us = paths.counters_file(snapshot), snapshot.counters_deadline_us
        return MmapCounterStore.open(folder, clock, incarnation, capacity=capacity, deadline_us=patience_us)
    folder = paths.host_counters(snapshot.data_dir)
    return MmapCounterStore.open(folder, clock, capacity=capacity)  # nobody recovers it: it keeps no journal


def capacity_of(snapshot: Snapshot) -> Capacity:
    """The room that this host's counters begin with; the shipper gives them more (``counter_room``)."""
    return _OWN_CAPACITY if redis_address(snapshot) is None else _HOST_CAPACITY


def open_local(snapshot: Snapshot, clock: Clock) -> MmapCounterStore:
    """What ``on_store_error: local`` counts in: a file of its own, whatever ails the other."""
    return MmapCounterStore.open(paths.host_counters(snapshot.data_dir), clock, capacity=_HOST_CAPACITY)


PATIENCE = 5.0
"""Seconds that a command waits for Redis: it keeps nobody waiting, and a busy machine is no lost one."""


def open_desk(
    snapshot: Snapshot, clock: Clock | None = None, *, hurried: bool = False, patient: bool = False
) -> MmapCounterStore | RedisDesk:
    """What pages, commands, recovery and seeding use. A Redis need not answer yet.

    ``hurried`` is for the pages' process: a silent Redis holds it up for a call's deadline, once a second at most.
    ``patient`` is for commands.
    """
    address = redis_address(snapshot)
    if address is None:
        return open_host_counters(snapshot, clock or SystemClock())
    if patient:
        return RedisDesk(address, deadline=max(PATIENCE, address.deadline))
    return RedisDesk(address, deadline=address.deadline) if hurried else RedisDesk(address)


def seeding_notes(data: Path) -> Path:
    """Where the workers note counters in Redis that lack the ledger's sum."""
    return paths.host_counters(data).with_name("unseeded")
