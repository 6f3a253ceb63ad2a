"""What the data plane is given: ports only, composed by the runtime."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

from gateway.clock import SECOND_US, Clock
from gateway.config.snapshot import Snapshot
from gateway.errors import StoreUnavailable
from gateway.hooks.registry import Registry
from gateway.metering.ports import UsageSpool
from gateway.metering.record import CallRecord
from gateway.proxy.guessing import Guessing
from gateway.proxy.metrics import Metrics
from gateway.proxy.outage import LocalStore, Outage, Shares
from gateway.proxy.settings import Settings
from gateway.proxy.unwritten import Unwritten
from gateway.quotas.counter import CounterStore, ImmediateStore
from gateway.tenants.model import Principal


class Directory(Protocol):
    """Who holds which key, now. ``snapshot`` is swapped by one assignment; a call pins the one it began with."""

    @property
    def snapshot(self) -> Snapshot: ...

    def find(self, digest: bytes) -> Principal | None:
        """The principal behind a credential's SHA-256, with key and tenant as they are at this moment."""
        ...


class Inflight(Protocol):
    """The table of calls in progress (SEMANTICS §3). ``open`` raises ``StoreUnavailable`` when it is full."""

    def open(self, call_id: bytes, record: CallRecord, reservation: bytes) -> int: ...

    def reserved(self, slot: int, at_us: int, taken: bool = True) -> None: ...

    def sent(self, slot: int) -> None: ...

    def checkpoint(self, slot: int, record: CallRecord) -> None: ...

    def settled(self, slot: int) -> None: ...

    def close(self, slot: int) -> None: ...


@dataclass
class Services:
    """The ports. ``secret`` keys the hash of addresses; all workers of a host have the same. ``worker`` names this one.

    ``synced`` is given with ``fsync: always``: it waits until the record with that sequence survives a power loss.
    ``open_local`` and ``shares`` are for limits with ``on_store_error: local``.
    """

    directory: Directory
    counters: CounterStore
    inflight: Inflight
    spool: UsageSpool
    clock: Clock
    metrics: Metrics
    logger: logging.Logger
    registry: Registry
    secret: bytes = b""
    worker: bytes = b""
    settings: Settings = field(default_factory=Settings)
    synced: Callable[[int], Awaitable[None]] | None = None
    open_local: Callable[[], LocalStore] | None = None
    shares: Callable[[], Shares] = Shares
    guessing: Guessing = field(init=False)
    outage: Outage = field(init=False)
    immediate: ImmediateStore | None = field(init=False)
    unwritten: Unwritten = field(init=False)
    _warned_us: int = field(init=False)

    def __post_init__(self) -> None:
        self.immediate = self.counters if isinstance(self.counters, ImmediateStore) else None
        self.unwritten = Unwritten(self.logger)
        self._warned_us = 0
        self.guessing = Guessing(self._host_store, self.secret, self.clock.now)
        self.outage = Outage(self.open_local, self.shares, self.worker)

    def _host_store(self) -> LocalStore:
        """Counters of this host: the store itself where it is one, else what stands in for it."""
        if self.immediate is not None:
            return self.immediate
        if self.open_local is None:
            raise StoreUnavailable("no counters of this host")
        return self.open_local()

    def store_failed(self, error: StoreUnavailable) -> None:
        """Say so in the log, once a second at most: it happens to every call while it lasts."""
        now_us = self.clock.monotonic()
        if now_us - self._warned_us >= SECOND_US or not self._warned_us:
            self._warned_us = now_us
            self.logger.warning("the counter store failed", extra={"reason": error.reason, "error": str(error)})
