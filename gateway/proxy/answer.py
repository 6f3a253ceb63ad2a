"""The head that goes to the client, and how the body behind it is framed for that client."""

from typing import Final

from gateway.hooks.events import HeaderChanges, ResponseHook
from gateway.http.body import Framing
from gateway.http.forwarding import response_section
from gateway.http.request import Request
from gateway.http.response import Response
from gateway.proxy.outgoing import changed
from gateway.proxy.plan import Bound, RoutePlan

_LIMIT_FIELDS: Final = frozenset(
    b"ratelimit ratelimit-policy x-ratelimit-limit x-ratelimit-remaining x-ratelimit-reset".split()
)


def client_framing(request: Request, response: Response) -> Framing:
    """A body without a length is chunked for HTTP/1.1 and ended by the connection's end for HTTP/1.0."""
    if response.framing is Framing.CHUNKED or response.framing is Framing.CLOSE:
        return Framing.CHUNKED if request.minor_version else Framing.CLOSE
    return response.framing


def response_head(
    request: Request, response: Response, plan: RoutePlan, bound: Bound | None, framing: Framing, request_id: bytes,
    limits: bytes, keep_alive: bool,
) -> bytes:  # fmt: skip
    """The whole head, ready to be written. ``limits`` are the rate-limit lines."""
    fields = response.fields
    keep_length = response.status >= 200 and response.status != 204  # RFC 9110 §8.6
    key = (plan, keep_length, bool(limits))
    if fields.forward_key == key:
        section = fields.forward_value
    else:
        drop = plan.drop_response | _LIMIT_FIELDS if limits else plan.drop_response
        section = response_section(fields, drop, keep_length=keep_length) + plan.add_response
        fields.forward_key, fields.forward_value = key, section
    if plan.response_hooks:
        section = _hooked(section, request, response, plan, bound)
    if plan.cors is not None:
        section += plan.cors.lines(request)
    if response.status == 101:
        connection = b"Connection: Upgrade\r\nUpgrade: %b\r\n" % b", ".join(fields.all(b"upgrade"))
    elif not keep_alive:
        connection = b"Connection: close\r\n"
    else:
        connection = b"" if request.minor_version else b"Connection: keep-alive\r\n"
    return b"HTTP/1.1 %d %b\r\n%b%bX-Request-Id: %b\r\n%b%b\r\n" % (
        response.status,
        response.reason,
        section,
        b"Transfer-Encoding: chunked\r\n" if framing is Framing.CHUNKED else b"",
        request_id,
        limits,
        connection,
    )


def interim_head(response: Response) -> bytes:
    """A 1xx head, as it came but for hop-by-hop fields."""
    section = response_section(response.fields, (), keep_length=False)
    return b"HTTP/1.1 %d %b\r\n%b\r\n" % (response.status, response.reason, section)


def _hooked(section: bytes, request: Request, response: Response, plan: RoutePlan, bound: Bound | None) -> bytes:
    event = ResponseHook(request, response, plan.route, bound.principal if bound is not None else None)
    for hook in plan.response_hooks:
        changes: HeaderChanges | None = hook(event)
        if changes is not None:
            section = changed(section, changes)
    return section
