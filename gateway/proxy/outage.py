"""What becomes of a call when the counter store does not answer: ``on_store_error`` of its hard limits (SEMANTICS §22).

``closed`` refuses, ``open`` lets pass, ``local`` counts on this host alone, with each maximum divided by how many
share it. Soft and shadow limits never refuse. A call that passes is flagged, and counted when the store answers again.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Protocol

from gateway.errors import StoreUnavailable
from gateway.quotas.counter import Counter, CounterRequest, Decision, Reservation
from gateway.quotas.limit import Algorithm

_KEPT = 4096


class LocalStore(Protocol):
    """The counters of this host, which never suspend."""

    def reserve_now(self, call_id: bytes, reservation: Reservation) -> Decision: ...

    def settle_now(self, call_id: bytes, at_us: int, reservation: Reservation, actual: Sequence[int]) -> None: ...


@dataclass(frozen=True, slots=True)
class Shares:
    """Among how many a maximum is divided: the hosts seen in the last minute, and this host's workers."""

    hosts: int = 1
    workers: int = 1


@dataclass(slots=True)
class LocalHold:
    """What a call holds on this host until its end. ``places`` are its requests' numbers in the whole."""

    store: LocalStore
    reservation: Reservation
    places: tuple[int, ...]
    at_us: int

    def settle(self, call_id: bytes, actual: Sequence[int]) -> None:
        """Replace what was taken by what the call cost; ``actual`` is that of the whole reservation."""
        self.store.settle_now(call_id, self.at_us, self.reservation, [actual[place] for place in self.places])


@dataclass(frozen=True, slots=True)
class Verdict:
    """``closed``: refused for want of the store. Else ``decision`` is the host's own, if it had any to take."""

    closed: bool = False
    decision: Decision | None = None
    hold: LocalHold | None = None


class Outage:
    """Decides in the store's place. ``open_local`` gives the host's own counters; they are opened when first needed."""

    def __init__(
        self, open_local: Callable[[], LocalStore] | None, shares: Callable[[], Shares], worker: bytes
    ) -> None:
        self._open_local = open_local
        self._local: LocalStore | None = None
        self._shares = shares
        self._worker = worker
        self._made: dict[tuple[int, Shares], tuple[Reservation, Reservation, tuple[int, ...]]] = {}

    def decide(self, call_id: bytes, reservation: Reservation) -> Verdict:
        """Whether a call passes; never raises."""
        policies = {
            request.counter.limit.on_store_error
            for request in reservation.requests
            if request.counter.limit.mode == "hard"
        }
        if "closed" in policies:
            return Verdict(closed=True)
        if "local" not in policies:
            return Verdict()
        if self._open_local is None:
            return Verdict(closed=True)
        try:
            if self._local is None:
                self._local = self._open_local()
            local, places = self._share_of(reservation, self._shares())
            decision = self._local.reserve_now(call_id, local)
        except StoreUnavailable:
            return Verdict(closed=True)
        return Verdict(decision=decision, hold=LocalHold(self._local, local, places, decision.at_us))

    def _share_of(self, reservation: Reservation, shares: Shares) -> tuple[Reservation, tuple[int, ...]]:
        known = self._made.get((id(reservation), shares))
        if known is not None:
            return known[1], known[2]
        places = tuple(
            place
            for place, request in enumerate(reservation.requests)
            if request.counter.limit.mode == "hard" and request.counter.limit.on_store_error == "local"
        )
        requests = tuple(
            CounterRequest(
                self._counter(reservation.requests[place].counter, shares), reservation.requests[place].amount
            )
            for place in places
        )
        made = Reservation(requests, b"", reservation.tenant)
        if len(self._made) >= _KEPT:
            self._made.clear()
        self._made[id(reservation), shares] = reservation, made, places
        return made, places

    def _counter(self, counter: Counter, shares: Shares) -> Counter:
        # A call in progress is held by its worker alone: nobody gives it back should the worker die.
        concurrent = counter.algorithm is Algorithm.CONCURRENT
        among = max(1, shares.hosts) * (max(1, shares.workers) if concurrent else 1)
        maximum, burst = (
            max(min(counter.max, 1), counter.max // among),
            counter.burst and max(1, counter.burst // among),
        )
        key = counter.key
        if concurrent:
            key = blake2b(key + self._worker, digest_size=16).digest()
        limit = replace(counter.limit, max=maximum, burst=burst)
        return replace(counter, key=key, max=maximum, burst=burst, limit=limit, scope=None)
