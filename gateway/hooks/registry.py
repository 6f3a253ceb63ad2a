"""The registry of stages. It is read when a snapshot is compiled: a route's tuple of stages is fixed there."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from gateway.routing.route import Route


class Phase(Enum):
    """When a stage runs, in the order of a call."""

    AUTHENTICATE = "authenticate"
    ADMIT = "admit"
    REQUEST = "request"
    RESPONSE = "response"
    MEASURE = "measure"
    RECORD = "record"


Run = Callable[[Any], Any]


def every_route(route: Route) -> bool:
    """The default of ``applies``."""
    return True


@dataclass(frozen=True, slots=True)
class Stage:
    """One function in one phase. ``applies`` is asked once a route, when a snapshot is compiled."""

    phase: Phase
    name: str
    run: Run
    applies: Callable[[Route], bool] = every_route


class Registry:
    """Stages in the order of their registration; a name is used once in a phase."""

    def __init__(self) -> None:
        self._stages: dict[Phase, dict[str, Stage]] = {phase: {} for phase in Phase}

    def add(
        self, phase: Phase, name: str, run: Run, *, applies: Callable[[Route], bool] = every_route, first: bool = False
    ) -> None:
        """Register a stage; ``first`` puts it before those that are there. Raises ``ValueError`` for a name in use."""
        stages = self._stages[phase]
        if name in stages:
            raise ValueError(f"{phase.value} stage {name!r} is registered twice")
        stage = Stage(phase, name, run, applies)
        self._stages[phase] = {name: stage, **stages} if first else {**stages, name: stage}

    def stages(self, phase: Phase) -> tuple[Stage, ...]:
        """All stages of a phase."""
        return tuple(self._stages[phase].values())

    def compiled(self, phase: Phase, route: Route) -> tuple[Run, ...]:
        """The functions that a route runs in a phase; empty when none applies, so that it costs nothing."""
        return tuple(stage.run for stage in self._stages[phase].values() if stage.applies(route))
