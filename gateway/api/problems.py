"""Refusals of the API as problem+json, and the one list of their codes."""

from dataclasses import dataclass
from typing import Any

from gateway.errors import GatewayError

CODES: dict[str, tuple[int, str]] = {
    "malformed": (400, "The request can't be read."),
    "tenant_required": (400, "Say whose: X-Tenant-Id names the tenant."),
    "unauthenticated": (401, "No credential, or one that is not valid any more."),
    "invalid_credentials": (401, "E-mail and password, or the refresh token, do not match an account."),
    "forbidden": (403, "The person's role does not allow this."),
    "insufficient_scope": (403, "The token's scopes do not allow this."),
    "tenant_header_forbidden": (403, "X-Tenant-Id is for the platform's people only."),
    "registration_closed": (403, "Organisations can't be registered, or only by invitation."),
    "email_unverified": (403, "The address has to be verified first."),
    "not_found": (404, "It does not exist, or is somebody else's."),
    "method_not_allowed": (405, "This address does not take this method."),
    "conflict": (409, "The present state does not allow this."),
    "already_exists": (409, "There is one already."),
    "managed_by_config": (409, "The configuration files own this field."),
    "key_ended": (409, "The key is revoked or expired."),
    "tenant_closed": (409, "The organisation is closed."),
    "last_owner": (409, "The last owner, or admin of the platform, stays."),
    "idempotency_in_progress": (409, "The first request with this Idempotency-Key is under way."),
    "link_expired": (410, "The link or invitation is used, withdrawn or too old."),
    "precondition_failed": (412, "The resource has changed: If-Match does not match."),
    "too_large": (413, "The body is too large."),
    "unsupported_media_type": (415, "Send application/json."),
    "invalid": (422, "Fields are missing or wrong; `errors` names each."),
    "idempotency_mismatch": (422, "This Idempotency-Key was used for another request."),
    "rate_limited": (429, "Too many requests; Retry-After says when to go on."),
    "internal": (500, "Our mistake; the log says why."),
    "unavailable": (503, "The store, or the counters, do not answer."),
}
"""Every ``code`` with its status and what it means. Stable."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """What is wrong with one field; ``field`` is a dotted path, empty for the whole."""

    field: str
    message: str


class ApiError(GatewayError):
    """A request ends here with ``code``."""

    def __init__(
        self, code: str, detail: str = "", errors: tuple[FieldError, ...] = (), headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(detail or CODES[code][1])
        self.code = code
        self.status = CODES[code][0]
        self.errors = errors
        self.headers = headers or {}

    def document(self) -> dict[str, Any]:
        """The body (RFC 9457)."""
        body: dict[str, Any] = {
            "type": "about:blank",
            "title": CODES[self.code][1],
            "status": self.status,
            "code": self.code,
            "detail": str(self),
            "errors": [{"field": error.field, "message": error.message} for error in self.errors],
        }
        return body


NOT_FOUND = ApiError("not_found")
"""One and the same answer for what does not exist and what is not the caller's to see."""
