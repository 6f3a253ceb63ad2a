"""The call record and its fellows in the spool, with their packed form (msgpack arrays, tagged by type).

New fields are appended with a default, so that readers of format n read n−1 (SEMANTICS §23). All times are
microseconds since the epoch, sizes are bytes, units are whole and non-negative.
"""

from enum import IntFlag
from typing import Literal

import msgspec

Outcome = Literal[
    "ok",  # the upstream's answer was delivered whole
    "client_left",  # the client went away before the answer's end
    "truncated",  # the upstream broke off in mid-answer
    "timeout",  # the upstream was too slow (504)
    "connect_failed",  # no connection to the upstream (502)
    "upstream_failed",  # the upstream broke before or in the head of its answer (502)
    "no_target",  # no healthy target (503)
    "ended",  # the gateway ended a stream or tunnel: key revoked, tenant suspended, limit used up
    "interrupted",  # the gateway died in mid-call; written by recovery
    "open",  # a checkpoint part: the call goes on
]


class Flag(IntFlag):
    """Why a record's figures deserve a second look."""

    ESTIMATED = 1  # units are the estimate, the true figure never came
    BAD_UNITS = 2  # the upstream reported units that are not a bounded non-negative whole number
    STORE_OPEN = 4  # the counter store did not answer and the limit's policy let the call pass
    UNMETERED = 8  # served while the spool could not take records (on_error: serve)
    OVERAGE = 16  # a soft limit was exceeded
    RECOVERED = 32  # written by recovery after a crash


class CallRecord(msgspec.Struct, array_like=True, tag="c", gc=False, kw_only=True):
    """One proxied request, or one part of a long one. Unique by ``(id, part)`` (SEMANTICS §5).

    ``part`` is 0 for the final part and 1, 2 … for checkpoints. ``units`` are billed units per meter (deltas in
    parts); ``quota_units`` what the counters were given. ``at_us`` is ``Decision.at``, in every part; ``part_at_us``
    is the part's own time, which decides the rollup bucket and invoice period of what it holds, 0 where that is
    ``at_us`` (calls of one part). ``tenant`` and ``key`` are empty on ``auth: none`` routes.
    """

    id: bytes
    part: int = 0
    at_us: int
    tenant: str = ""
    key: str = ""
    route: str
    upstream: str = ""
    target: str = ""
    method: str
    path: str
    status: int = 0
    upstream_status: int = 0
    outcome: Outcome = "interrupted"
    request_bytes: int = 0
    response_bytes: int = 0
    units: dict[str, int] = {}
    quota_units: dict[str, int] = {}
    counted: bool = False
    billable: bool = False
    not_billable: str = ""
    ttfb_us: int = 0
    duration_us: int = 0
    attempts: int = 0
    address: str = ""
    address_hash: bytes = b""
    request_id: str = ""
    plan: str = ""
    flags: int = 0
    part_at_us: int = 0


class RefusalCount(msgspec.Struct, array_like=True, tag="r", gc=False, kw_only=True):
    """How many calls were refused in one minute, by tenant, key, route and code (SEMANTICS §6). Empty text: unknown."""

    minute_us: int
    tenant: str = ""
    key: str = ""
    route: str = ""
    code: str
    status: int
    count: int


SpoolEntry = CallRecord | RefusalCount

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[SpoolEntry] = msgspec.msgpack.Decoder(CallRecord | RefusalCount)

encode = _encoder.encode
"""Pack an entry (about half a microsecond)."""


def decode(payload: bytes | memoryview) -> SpoolEntry:
    """Unpack an entry; raises ``msgspec.DecodeError`` (also for a value of the wrong type)."""
    return _decoder.decode(payload)
