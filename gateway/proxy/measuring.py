"""What a call is worth, once its answer is complete: the route's meters, then plugins; gaps filled and flagged."""

import logging

from gateway.hooks.events import Measure
from gateway.http.fields import list_items
from gateway.http.request import Request
from gateway.http.response import Response
from gateway.metering.extract import BodyReader, body_reader
from gateway.metering.record import Flag
from gateway.metering.units import whole_units
from gateway.proxy.plan import RoutePlan

_logger = logging.getLogger("gateway.proxy")


class Measuring:
    """Follows one answer of a route whose units are not all constant."""

    __slots__ = ("_plan", "_reader", "_response")

    def __init__(self, plan: RoutePlan, response: Response) -> None:
        self._plan = plan
        self._response = response
        self._reader: BodyReader | None = None
        if plan.body_meters:
            codings = list_items(response.fields.all(b"content-encoding"))
            self._reader = body_reader(plan.body_meters, codings, plan.scan)

    def feed(self, data: bytes) -> None:
        """A piece of the body as the upstream sent it."""
        if self._reader is not None:
            self._reader.feed(data)

    def units(
        self, request: Request, request_bytes: int, response_bytes: int, duration_us: int
    ) -> tuple[dict[str, int], int]:
        """Units per meter, and the flags they deserve (SEMANTICS §10)."""
        plan = self._plan
        reported = self._reader.units() if self._reader is not None else {}
        event = Measure(request, self._response, plan.route, reported, request_bytes, response_bytes, duration_us)
        found: dict[str, object] = {}
        for stage in plan.measure:
            try:
                found.update(stage(event) or {})
            except Exception:  # the upstream did the work: the call is booked, its units are missing
                _logger.exception("a measure stage failed")
        units: dict[str, int] = {}
        flags = 0
        for meter in plan.route.meters:
            told = found.get(meter.name)
            figure = whole_units(told)  # a plugin may tell anything
            if figure is not None and figure <= meter.max:
                units[meter.name] = figure
                continue
            flags |= Flag.ESTIMATED if told is None else Flag.ESTIMATED | Flag.BAD_UNITS
            units[meter.name] = meter.missing if meter.missing is not None else plan.amounts[meter.name]
        return units, int(flags)
