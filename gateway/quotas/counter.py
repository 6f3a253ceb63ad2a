"""The seam between the decision to limit a call and the store that counts: counters, requests, decisions, the port."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntFlag
from typing import Protocol, runtime_checkable

import msgspec

from gateway.quotas.limit import Algorithm, Limit


class DecisionFlag(IntFlag):
    """What a decision reports beside its verdict; the numbers are those of ``metering.record.Flag``."""

    STORE_OPEN = 4  # the store did not answer and the limits' policy let the call pass
    OVERAGE = 16  # a soft limit was exceeded: the call passes and is billed as overage


@dataclass(frozen=True, slots=True)
class Bounds:
    """The current and the next calendar window, in microseconds: ``[start_us, end_us)`` and ``[end_us, next_end_us)``.

    Both are passed so that the store can pick by its own time (SEMANTICS §1).
    """

    start_us: int
    end_us: int
    next_end_us: int


@dataclass(frozen=True, slots=True)
class ScopeIds:
    """Whose usage a counter holds, in the words of the ledger: what a seeding must add up. Empty means any."""

    tenant: str
    key: str = ""
    route: str = ""
    address: str = ""


@dataclass(frozen=True, slots=True)
class Counter:
    """One counter of one scope, as a store needs it. Built once per (plan, tenant, key, route) and reused.

    ``key`` is 16 bytes: a hash of (scope ids, meter, algorithm, window, routes), never of plan, name or max
    (SEMANTICS §16). ``window_us`` is the length of sliding and bucket windows. ``bounds`` is set for
    ``Algorithm.CALENDAR`` only. ``volatile`` marks address counters, which live in their own region. ``scope`` is
    None where nobody will seed the counter (address counters, and those read back from an in-flight slot).
    """

    key: bytes
    algorithm: Algorithm
    max: int
    window_us: int
    burst: int
    bounds: Bounds | None
    volatile: bool
    limit: Limit
    scope: ScopeIds | None = None


@dataclass(frozen=True, slots=True)
class CounterRequest:
    """``amount`` units wanted from one counter."""

    counter: Counter
    amount: int


@dataclass(frozen=True, slots=True)
class Reservation:
    """All that one call asks for, taken in one atomic step or not at all (SEMANTICS §14).

    ``packed`` is the same in the form that the in-flight slot keeps, so that a recovery can settle or release
    without the configuration; ``quotas.packing`` writes and reads it. All of it is one tenant's (SEMANTICS §18).
    """

    requests: tuple[CounterRequest, ...]
    packed: bytes
    tenant: str = ""
    known: object = field(default=None, compare=False, repr=False)
    """What a store last found out about it (where its counters lie); set by ``remember``, by one store of a process."""

    def remember(self, known: object) -> None:
        object.__setattr__(self, "known", known)


class LimitState(msgspec.Struct, frozen=True, gc=False):
    """A limit as the caller sees it after the decision: ``remaining`` is never negative; ``reset_us`` is an instant.

    ``over`` is how far a reading without taking found the count above the maximum (overage, a lowered maximum).

    (A Struct because one is built per limit of every call: 40 ns, a frozen dataclass takes 420.)

    ``retry_us`` is, for a violated limit, the first instant at which this call would pass this limit if nothing else
    happened; 0 when not violated, -1 when it never would (cost above the maximum). ``window_us`` is the actual length
    of the window counted in (a month's own), 0 for concurrency.
    """

    limit: Limit
    remaining: int
    reset_us: int
    violated: bool = False
    retry_us: int = 0
    window_us: int = 0
    over: int = 0


def effective_end(reset_us: int, retry_us: int) -> int:
    """The reset to state for a violated limit: its window's end, or earlier when this call passes earlier.

    draft-ietf-httpapi-ratelimit-headers-11 §6: Retry-After is not before the end of the stated effective window.
    """
    return retry_us if 0 < retry_us < reset_us else reset_us


class Decision(msgspec.Struct, frozen=True, gc=False):
    """The store's answer. ``at_us`` is the call's one time (SEMANTICS §1). When not ``admitted`` nothing was taken."""

    admitted: bool
    at_us: int
    states: tuple[LimitState, ...]
    flags: int = 0


class CounterStore(Protocol):
    """Counters of one host or many. Calls are known by their 16-byte id; settle and release are idempotent by it."""

    async def reserve(self, call_id: bytes, reservation: Reservation) -> Decision:
        """Take all requests in one atomic step, or none; raises ``StoreUnavailable``."""
        ...

    async def settle(self, call_id: bytes, at_us: int, reservation: Reservation, actual: Sequence[int]) -> None:
        """Replace the reserved amounts by the actual ones, request by request, in the windows of ``at_us``."""
        ...

    async def release(self, call_id: bytes, at_us: int, reservation: Reservation) -> None:
        """Give everything back: the call was not counted."""
        ...

    async def count(self, call_id: bytes, at_us: int, reservation: Reservation, actual: Sequence[int]) -> None:
        """Count a call that policy let pass while the store did not answer; later, if it still does not (§22)."""
        ...

    def now(self) -> int:
        """The store's time in microseconds (SEMANTICS §1), for calls that reserve nothing."""
        ...


@runtime_checkable
class ImmediateStore(Protocol):
    """What a counter store on this host also has: the same steps as plain calls, without a coroutine for each."""

    def reserve_now(self, call_id: bytes, reservation: Reservation) -> Decision: ...

    def settle_now(self, call_id: bytes, at_us: int, reservation: Reservation, actual: Sequence[int]) -> None: ...

    def release_now(self, call_id: bytes, at_us: int, reservation: Reservation) -> None: ...
