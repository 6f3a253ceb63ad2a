"""Refusals as ``application/problem+json`` (RFC 9457) with a stable ``code`` (CONTRACT, data plane)."""

import json
from collections.abc import Mapping

from gateway.http.date import date_line

REASONS = {
    400: "Bad Request", 401: "Unauthorized", 402: "Payment Required", 403: "Forbidden", 404: "Not Found",
    408: "Request Timeout", 413: "Content Too Large", 414: "URI Too Long", 429: "Too Many Requests",
    431: "Request Header Fields Too Large", 500: "Internal Server Error", 502: "Bad Gateway",
    503: "Service Unavailable", 504: "Gateway Timeout",
}  # fmt: skip


def problem(
    status: int, code: str, detail: str, request_id: str, *, kind: str = "about:blank",
    members: Mapping[str, object] | None = None,
) -> bytes:  # fmt: skip
    """The body of a refusal. ``detail`` says what is wrong in words that are safe to show to anybody."""
    document: dict[str, object] = {
        "type": kind,
        "title": REASONS.get(status, "Error"),
        "status": status,
        "code": code,
        "detail": detail,
        "request_id": request_id,
    }
    if members:
        document |= members
    return json.dumps(document).encode() + b"\n"


def problem_response(
    status: int,
    body: bytes,
    now_us: int,
    headers: list[tuple[bytes, bytes]],
    lines_ready: bytes = b"",
    *,
    head_only: bool,
    close: bool,
) -> bytes:
    """A whole answer, made at ``now_us``; HEAD gets its head alone (RFC 9110 §9.3.2).

    ``lines_ready`` are finished field lines.
    """
    lines = [b"HTTP/1.1 %d %b\r\n" % (status, REASONS.get(status, "Error").encode())]
    lines.append(date_line(now_us))
    lines += [b"%b: %b\r\n" % header for header in headers]
    lines.append(lines_ready)
    lines.append(b"Content-Type: application/problem+json\r\nContent-Length: %d\r\n" % len(body))
    lines.append(b"Connection: close\r\n\r\n" if close else b"\r\n")
    if not head_only:
        lines.append(body)
    return b"".join(lines)
