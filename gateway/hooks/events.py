"""What a stage of each phase is given, and what it may answer. All are frozen; a stage answers, it does not change.

Events are ``msgspec`` structs (frozen dataclasses built in C), because core stages get them on every call. ``request``
and ``response`` are read-only heads; ``header(b"name")`` looks a field up by its lower-case name.
"""

from collections.abc import Mapping

import msgspec

from gateway.http.request import Request
from gateway.http.response import Response
from gateway.metering.record import CallRecord
from gateway.routing.route import Route
from gateway.tenants.model import Principal

Header = tuple[bytes, bytes]


class Refusal(msgspec.Struct, frozen=True):
    """The call ends here, before the upstream sees it, with a problem+json answer. ``code`` is stable."""

    status: int
    code: str
    detail: str
    headers: tuple[Header, ...] = ()
    kind: str = "about:blank"
    members: Mapping[str, object] = {}
    principal: Principal | None = None


class HeaderChanges(msgspec.Struct, frozen=True):
    """Fields to take out (names, any case) and then to add at the end, in order."""

    remove: frozenset[bytes] = frozenset()
    add: tuple[Header, ...] = ()


class Authenticate(msgspec.Struct, frozen=True, gc=False):
    """Phase ``authenticate``: who calls? Answer a ``Principal``, a ``Refusal``, or None to pass on the question."""

    request: Request
    route: Route


class Admit(msgspec.Struct, frozen=True, gc=False):
    """Phase ``admit``: may this call pass? ``address`` is the caller's, behind trusted proxies.

    Answer None or a ``Refusal``. What a plan limits is taken after this phase, in one atomic step.
    """

    request: Request
    route: Route
    principal: Principal | None
    address: str


class RequestHook(msgspec.Struct, frozen=True, gc=False):
    """Phase ``request``: the head is about to go to the upstream. Answer ``HeaderChanges`` or None."""

    request: Request
    route: Route
    principal: Principal | None


class ResponseHook(msgspec.Struct, frozen=True, gc=False):
    """Phase ``response``: the head is about to go to the client. Answer ``HeaderChanges`` or None."""

    request: Request
    response: Response
    route: Route
    principal: Principal | None


class Measure(msgspec.Struct, frozen=True, gc=False):
    """Phase ``measure``: the answer is complete. Answer the units found, per meter, or None.

    ``reported`` are what the route's meters found in header and body. Sizes are body bytes as sent on the wire without
    framing; ``duration_us`` runs from the head's arrival.
    """

    request: Request
    response: Response
    route: Route
    reported: Mapping[str, int]
    request_bytes: int
    response_bytes: int
    duration_us: int


class Record(msgspec.Struct, frozen=True, gc=False):
    """Phase ``record``: the record is in the spool. Nothing to answer; an exception is logged and changes nothing."""

    record: CallRecord
