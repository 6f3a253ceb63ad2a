"""Rating by hand: what a subscription owes, from the ledger's raw rows and its phases, in fractions.

It shares no code with the product on purpose: months, shares, prices and rounding are written a second time, as
plainly as they can be, so that the two can be wrong only in different ways.
"""

import calendar
import json
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

SECOND = 1_000_000
CALLS = "SELECT tenant, at_us, posting, units FROM calls WHERE billable"
POSTED_EVENTS = "SELECT tenant, at_us, posting, meter, value FROM events"

Rate = Callable[[dict[str, int], Fraction, int], list[int]]
"""Units by meter, the share of the month that is served, the subscription's month → cents, one figure a price."""


@dataclass(frozen=True)
class Sold:
    """A plan at one version: fees in cents (None: not sold so), cents due once, and its usage prices."""

    monthly: int | None
    yearly: int | None
    once: int
    rate: Rate


def cents(amount: Fraction) -> int:
    """To the cent, half away from zero."""
    doubled = abs(amount) * 200
    whole = (doubled.numerator // doubled.denominator + 1) // 2
    return whole if amount >= 0 else -whole


def half_down(amount: Fraction) -> int:
    """To the cent, an exact half down: what a rounded percentage leaves."""
    up = cents(amount)
    return up - 1 if Fraction(up, 100) - amount == Fraction(1, 200) else up


def midnight(day: date, zone: str) -> int:
    """The first instant of a local day."""
    return int(datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)).timestamp()) * SECOND


def months(anchor: date, zone: str, step: int = 1) -> Iterator[int]:
    """Bounds of months (or of ``step`` months), from two years before the anchor on."""
    for index in range(-24 // step, 1000):
        year, month = divmod(anchor.year * 12 + anchor.month - 1 + index * step, 12)
        day = min(anchor.day, calendar.monthrange(year, month + 1)[1])
        yield midnight(date(year, month + 1, day), zone)


def period(anchor: date, zone: str, at_us: int, step: int = 1) -> tuple[int, int]:
    """The month or year that holds an instant."""
    before = 0
    for bound in months(anchor, zone, step):
        if bound > at_us:
            return before, bound
        before = bound
    raise AssertionError("time without end")


class Ledger:
    """The raw rows of calls and events, by tenant, in the order of their time."""

    def __init__(self, calls: Iterable[tuple[Any, ...]], events: Iterable[tuple[Any, ...]]) -> None:
        self._rows: dict[str, list[tuple[int, int, str, int]]] = defaultdict(list)
        for tenant, at_us, posting, units in calls:
            self._rows[tenant].append((at_us, posting, "calls", json.loads(units)["calls"]))
        for tenant, at_us, posting, meter, value in events:
            self._rows[tenant].append((at_us, posting, meter, value))
        for rows in self._rows.values():
            rows.sort()

    def units(self, tenant: str, start_us: int, end_us: int, watermark: int) -> dict[str, int]:
        """Units by meter: calls and jobs are added up, of storage the largest counts."""
        rows, found = self._rows[tenant], {"calls": 0, "jobs": 0, "storage": 0}
        for place in range(bisect_left(rows, (start_us,)), len(rows)):
            at_us, posting, meter, value = rows[place]
            if at_us >= end_us:
                break
            if posting <= watermark:
                found[meter] = max(found[meter], value) if meter == "storage" else found[meter] + value
        return found


@dataclass
class Contract:
    """A subscription as its row and phases have it, and when it was paused."""

    row: Any
    phases: list[Any]
    paused: list[tuple[int, int]]

    @property
    def begins(self) -> int:
        return int(max(self.row.start_us, self.row.trial_end_us or 0))

    def phase(self, at_us: int) -> Any:
        return max((one for one in self.phases if one.start_us <= at_us), key=lambda one: one.start_us)

    def month(self, at_us: int) -> tuple[int, int]:
        return period(date.fromisoformat(self.row.anchor), self.row.timezone, at_us)

    def year(self, at_us: int) -> tuple[int, int]:
        return period(date.fromisoformat(self.row.anchor), self.row.timezone, at_us, 12)

    def age(self, at_us: int) -> int:
        """How many of its months were begun before."""
        age, begun = 0, self.month(self.begins)[1]
        while begun <= at_us:
            age, begun = age + 1, self.month(begun)[1]
        return age


def usage_owed(contract: Contract, ledger: Ledger, sold: dict[str, Sold], watermark: int) -> dict[str, int]:
    """Cents by charge, ``usage/<start>/<place>``, of every part of every month that was billed."""
    found: dict[str, int] = {}
    at_us, until_us = contract.begins, contract.row.billed_until_us or 0
    while at_us < until_us:
        month = contract.month(at_us)
        end_us = min([month[1], until_us, *(one.start_us for one in contract.phases if one.start_us > at_us)])
        share = Fraction((end_us - at_us) // SECOND, (month[1] - month[0]) // SECOND)
        units = ledger.units(contract.row.tenant, at_us, end_us, watermark)
        amounts = sold[contract.phase(at_us).version].rate(units, share, contract.age(at_us))
        found |= {f"usage/{at_us}/{place}": amount for place, amount in enumerate(amounts)}
        at_us = end_us
    return found


def fees_owed(contract: Contract, sold: dict[str, Sold]) -> int:
    """Cents of all fees: in advance for each month or year, cut and given back at each change."""
    row, total = contract.row, 0
    if row.billed_until_us is None:
        return 0
    living: list[tuple[int, int, int]] = []  # start, end, cents
    instants = {contract.begins, *(one.start_us for one in contract.phases if one.start_us > contract.begins)}
    at_us = contract.month(contract.begins)[1]
    while at_us <= row.billed_until_us:
        instants.add(at_us)
        at_us = contract.month(at_us)[1]
    resumed = {end for _, end in contract.paused if end < 1 << 62} - instants
    for at_us in sorted(instants | resumed):
        if at_us in resumed and any(start <= at_us < end for start, end, _ in living):
            continue  # what it paid for before the pause goes on
        phase, month, year = contract.phase(at_us), contract.month(at_us), contract.year(at_us)
        plan, first, renews = sold[phase.version], at_us == contract.begins, at_us == month[0]
        if not renews and not first:  # a change: what is left of what was charged is given back
            for start, end, amount in living:
                if start <= at_us < end:
                    total -= cents(Fraction(amount, 100) * Fraction((end - at_us) // SECOND, (end - start) // SECOND))
            living = [one for one in living if not one[0] <= at_us < one[1]]
        if renews and not first:
            if row.cancel_at_us is not None and row.cancel_at_us <= at_us:
                continue
            if any(start <= at_us < end for start, end in contract.paused):
                continue
        fee, span = (plan.yearly, year) if phase.cycle == "year" else (plan.monthly, month)
        switched = not first and contract.phase(at_us - 1).cycle != phase.cycle
        if fee is not None and (phase.cycle == "month" or first or switched or not renews or at_us == year[0]):
            share = Fraction((span[1] - at_us) // SECOND, (span[1] - span[0]) // SECOND)
            charged = cents(Fraction(fee * phase.quantity, 100) * share)
            total += charged
            living.append((at_us, span[1], charged))
        total += plan.once if first else 0
    return total


def in_cents(text: str) -> int:
    """An amount of the books."""
    amount = Decimal(text) * 100
    assert amount == int(amount), text
    return int(amount)
