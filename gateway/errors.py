"""Errors that carry facts. Edges choose exit codes, statuses and words around them."""

from dataclasses import dataclass


class GatewayError(Exception):
    """Base of all expected failures: the message says what is wrong and what to do."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong in a file that a person wrote. ``line`` counts from 1; 0 means the file as a whole."""

    file: str
    line: int
    field: str
    message: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        return ": ".join(part for part in (where, self.field, self.message) if part)


class ConfigError(GatewayError):
    """The configuration is wrong; ``faults`` holds every fault found, in file order."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__("\n".join(map(str, faults)))
        self.faults = faults


class StoreUnavailable(GatewayError):
    """A store did not answer, or is full. ``reason`` is a short stable word for metrics."""

    def __init__(self, message: str, reason: str = "unavailable") -> None:
        super().__init__(message)
        self.reason = reason
