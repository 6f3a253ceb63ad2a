"""Counts units that an upstream reports in a header such as ``X-Units: messages=2, tokens=150``.

Every meter named there must be a meter of the route; figures must be whole and not negative, else they are ignored.
The header itself ends at the gateway.
"""

from gateway.hooks import HeaderChanges, Measure, Phase, Registry, ResponseHook

HEADER = b"x-units"


def measure(event: Measure) -> dict[str, int] | None:
    """The units in the header, for meters that the route has."""
    value = event.response.header(HEADER)
    if value is None:
        return None
    meters = {meter.name for meter in event.route.meters}
    units: dict[str, int] = {}
    for part in value.decode("latin-1").split(","):
        name, _, figure = part.strip().partition("=")
        if name in meters and figure.isascii() and figure.isdigit():
            units[name] = int(figure)
    return units or None


def hide(event: ResponseHook) -> HeaderChanges | None:
    """Take the header out of the answer."""
    return HeaderChanges(remove=frozenset([HEADER])) if event.response.header(HEADER) is not None else None


def register(registry: Registry) -> None:
    """Entry point."""
    registry.add(Phase.MEASURE, "response_units", measure)
    registry.add(Phase.RESPONSE, "response_units", hide)
