"""What the checkpoint parts of one call have recorded, so that the final part holds the rest (SEMANTICS §5)."""

from gateway.routing.route import Meter


class Parts:
    """``count`` parts so far. ``at`` is the instant of the last (monotonic seconds); the others are sums over all."""

    __slots__ = ("at", "count", "request_bytes", "response_bytes", "units")

    def __init__(self) -> None:
        self.count = 0
        self.at = 0.0
        self.request_bytes = 0
        self.response_bytes = 0
        self.units: dict[str, int] = {}

    def rest(self, units: dict[str, int]) -> dict[str, int]:
        """What remains of a call's units for its final part."""
        return {name: max(0, figure - self.units.get(name, 0)) for name, figure in units.items()}


def running_figure(meter: Meter, request_bytes: int, response_bytes: int, duration_us: int) -> int | None:
    """What a meter has counted so far; None for one that is known only at the end, or counts calls."""
    match meter.source:
        case "request_bytes":
            figure = request_bytes
        case "response_bytes":
            figure = response_bytes
        case "duration":
            figure = -(-duration_us // 1000)
        case _:
            return None
    return figure if figure <= meter.max else None
