"""One limit of a plan as people write it, and its compiled form.

``per`` decides the algorithm unless one is stated: a named unit up to an hour and any duration slide, a day and
longer follow the calendar (SEMANTICS §13).
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Literal, get_args

from pydantic import BeforeValidator, Field, model_validator

from gateway.clock import DAY_US, HOUR_US, MINUTE_US, SECOND_US
from gateway.config.fields import Count, Positive, Strict, Token
from gateway.config.nearest import hint
from gateway.config.units import parse_duration
from gateway.quotas.limit import (
    Algorithm,
    CalendarWindow,
    DurationWindow,
    Limit,
    Mode,
    OnStoreError,
    Reported,
    Scope,
    Window,
)

Unit = Literal["second", "minute", "hour", "day", "week", "month", "year", "billing_period"]
UNITS: tuple[Unit, ...] = get_args(Unit)
LENGTHS_US: dict[Unit, int] = {
    "second": SECOND_US,
    "minute": MINUTE_US,
    "hour": HOUR_US,
    "day": DAY_US,
    "week": 7 * DAY_US,
}
NO_EVENTS: Mapping[str, Reported] = MappingProxyType({})
SHORTEST_US = 1000
LONGEST_US = 9000 * DAY_US  # what counters in Redis still compute exactly


def _per(value: object) -> object:
    if isinstance(value, str) and value not in UNITS:
        if not value[:1].isdigit():
            raise ValueError(f'"{value}" is no window{hint(value, UNITS)}')
        if parse_duration(value) < SHORTEST_US:
            raise ValueError("must be at least 1ms")
        if parse_duration(value) > LONGEST_US:
            raise ValueError("must be at most 9000d")
    return value


def _by(value: object) -> object:
    return [value] if isinstance(value, str) else value


class LimitBlock(Strict):
    """One entry of ``limits``."""

    name: Token
    meter: Token = "calls"
    max: Count | None = None
    per: Annotated[str, BeforeValidator(_per)] | None = None
    concurrent: Positive | None = None
    algorithm: Literal["sliding", "calendar", "bucket"] | None = None
    burst: Positive | None = None
    by: Annotated[list[Scope], BeforeValidator(_by), Field(min_length=1)] = ["tenant"]
    mode: Mode = "hard"
    on_store_error: OnStoreError = "closed"
    routes: list[Token] = []

    @model_validator(mode="after")
    def _fits_together(self) -> "LimitBlock":
        if self.concurrent is not None:
            given = [name for name in ("max", "per", "algorithm", "burst") if getattr(self, name) is not None]
            if given:
                raise ValueError(f"a concurrent limit has no {' or '.join(given)}")
            if self.meter != "calls":
                raise ValueError("a concurrent limit counts calls; it has no other meter")
            return self
        missing = [name for name in ("max", "per") if getattr(self, name) is None]
        if missing:
            raise ValueError(f"needs {' and '.join(missing)} (or concurrent)")
        window_of(self)
        return self


class LimitOverride(Strict):
    """A tenant's own maximum for a limit of its plan."""

    max: Count | None = None
    burst: Positive | None = None
    concurrent: Positive | None = None


def window_of(block: LimitBlock) -> tuple[Algorithm, Window]:
    """Algorithm and window of a limit that is not concurrent; raises ``ValueError`` when they can't go together."""
    per = block.per or ""
    unit: Unit | None = next((name for name in UNITS if name == per), None)
    algorithm = block.algorithm or _default_algorithm(unit)
    if block.burst is not None and algorithm != "bucket":
        raise ValueError("burst belongs to algorithm: bucket")
    if algorithm == "calendar":
        if unit is None:
            raise ValueError(f'the calendar has no "{per}"; use {", ".join(UNITS)}, or algorithm: sliding')
        return Algorithm.CALENDAR, CalendarWindow(unit)
    kind = Algorithm.SLIDING if algorithm == "sliding" else Algorithm.BUCKET
    if unit is None:
        return kind, DurationWindow(parse_duration(per))
    if unit not in LENGTHS_US:
        raise ValueError(f'a {unit} has no fixed length for algorithm: {algorithm}; write a duration such as "30d"')
    return kind, DurationWindow(LENGTHS_US[unit])


def _default_algorithm(unit: Unit | None) -> Literal["sliding", "calendar"]:
    return "sliding" if unit in (None, "second", "minute", "hour") else "calendar"


def reported_kinds(events: Iterable[tuple[str, str]], of_calls: Collection[str]) -> dict[str, Reported]:
    """What each meter of (meter, aggregate) is; where calls have it too, limits count the calls."""
    return {
        meter: "flow" if aggregate in ("sum", "count") else "level"
        for meter, aggregate in events
        if meter not in of_calls
    }


def compile_limits(blocks: Sequence[LimitBlock], reported: Mapping[str, Reported] = NO_EVENTS) -> tuple[Limit, ...]:
    """The limits of a plan, in the order written. ``reported``: the meters of events, and what each is."""
    return tuple(_compile(block, reported.get(block.meter, "")) for block in blocks)


def _compile(block: LimitBlock, reported: Reported) -> Limit:
    by: tuple[Scope, ...] = tuple(sorted(set(block.by)))
    routes = tuple(sorted(set(block.routes)))
    if block.concurrent is not None:
        return Limit(
            block.name, "calls", block.concurrent, None, Algorithm.CONCURRENT, by, block.mode, block.on_store_error,
            routes,
        )  # fmt: skip
    assert block.max is not None
    algorithm, window = window_of(block)
    burst = (block.burst or max(block.max, 1)) if algorithm is Algorithm.BUCKET else 0
    return Limit(
        block.name, block.meter, block.max, window, algorithm, by, block.mode, block.on_store_error, routes, burst,
        reported,
    )  # fmt: skip
