"""How a call can fail after it was admitted, and what each failure is to the client and in the record."""

from dataclasses import dataclass

from gateway.metering.record import Outcome


@dataclass(frozen=True, slots=True)
class Failure:
    """A failure's status, code and words for the client, and its outcome in the record."""

    status: int
    code: str
    detail: str
    outcome: Outcome


CONNECT_FAILED = Failure(502, "upstream_unreachable", "The upstream could not be reached.", "connect_failed")
UPSTREAM_FAILED = Failure(502, "upstream_failed", "The upstream broke off before it answered.", "upstream_failed")
UPSTREAM_MALFORMED = Failure(502, "upstream_malformed", "The upstream's answer was malformed.", "upstream_failed")
UPSTREAM_TIMEOUT = Failure(504, "upstream_timeout", "The upstream did not answer in time.", "timeout")
TARGETS_BUSY = Failure(503, "upstream_busy", "All connections to the upstream are in use.", "no_target")
NO_TARGET = Failure(503, "no_healthy_target", "No target of the upstream is healthy.", "no_target")
TRUNCATED = Failure(502, "upstream_failed", "The upstream broke off in mid-answer.", "truncated")
CLIENT_LEFT = Failure(499, "client_left", "The client went away.", "client_left")
BODY_TIMEOUT = Failure(408, "request_timeout", "The request body did not arrive in time.", "client_left")
INTERNAL = Failure(500, "internal_error", "The gateway failed.", "upstream_failed")
TARGETS_FAULT = (UPSTREAM_FAILED, UPSTREAM_MALFORMED, UPSTREAM_TIMEOUT, TRUNCATED)
"""Failures that count against a target, beside ``CONNECT_FAILED``."""


class CallFailed(Exception):
    """Raised where a call ends before its answer does."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.code)
        self.failure = failure
