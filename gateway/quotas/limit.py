"""A limit as a plan states it: at most ``max`` units of a meter per window and scope."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

from gateway.period import CalendarUnit

Scope = Literal["tenant", "key", "route", "address"]
Mode = Literal["hard", "soft", "shadow"]
OnStoreError = Literal["closed", "open", "local"]
Reported = Literal["", "flow", "level"]
"""Of a meter that events report: what adds up (jobs) is used up at the maximum, a level (seats) is over above it."""


class Algorithm(IntEnum):
    """How a counter counts; the numbers are stored in counter files and in-flight slots and never change."""

    CALENDAR = 1
    SLIDING = 2
    BUCKET = 3
    CONCURRENT = 4


@dataclass(frozen=True, slots=True)
class CalendarWindow:
    """A window aligned to civil time, in the tenant's zone; ``billing_period`` follows the subscription's anchor."""

    unit: CalendarUnit | Literal["billing_period"]


@dataclass(frozen=True, slots=True)
class DurationWindow:
    """A window of fixed length, in microseconds."""

    length_us: int


Window = CalendarWindow | DurationWindow


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit of a plan.

    ``window`` is None only for ``Algorithm.CONCURRENT`` (``max`` calls at once). ``burst`` is for
    ``Algorithm.BUCKET`` only: the bucket's size in units (``max`` per window is its rate). ``routes`` empty means
    every route. ``by`` is sorted and without repeats; the tenant is always part of the scope (SEMANTICS §18).
    """

    name: str
    meter: str
    max: int
    window: Window | None
    algorithm: Algorithm
    by: tuple[Scope, ...] = ("tenant",)
    mode: Mode = "hard"
    on_store_error: OnStoreError = "closed"
    routes: tuple[str, ...] = ()
    burst: int = 0
    reported: Reported = ""
