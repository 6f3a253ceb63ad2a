"""The gateway's own stages, registered through the same registry as a plugin's: keys, limits, meters."""

from collections.abc import Mapping
from typing import Final

from gateway.clock import Clock
from gateway.hooks.events import Authenticate, Measure, Refusal
from gateway.hooks.registry import Phase, Registry
from gateway.http.forwarding import query_value
from gateway.http.request import Request
from gateway.metering.units import header_units
from gateway.proxy.callers import AddressRules, ScopeRules, has_rules, has_scopes
from gateway.proxy.services import Directory
from gateway.routing.route import Route
from gateway.tenants.credentials import classify
from gateway.tenants.credentials import digest as digest_of
from gateway.tenants.model import Principal

_CHALLENGE: Final[tuple[tuple[bytes, bytes], ...]] = ((b"WWW-Authenticate", b'Bearer realm="gateway"'),)
MISSING_KEY: Final = Refusal(401, "missing_key", "Send an API key in X-API-Key or Authorization: Bearer.", _CHALLENGE)
UNKNOWN_KEY: Final = Refusal(401, "unknown_key", "The API key is not known.", _CHALLENGE)
EXPIRED_KEY: Final = Refusal(401, "expired_key", "The API key has expired.", _CHALLENGE)
REVOKED_KEY: Final = Refusal(401, "revoked_key", "The API key was revoked.", _CHALLENGE)
SUSPENDED: Final = Refusal(403, "tenant_suspended", "The account of this key is suspended.")
CLOSED: Final = Refusal(403, "tenant_closed", "The account of this key is closed.")


def credential(request: Request, query_key: str = "") -> tuple[bytes, bytes] | None:
    """The credential and the lower-case name of what carried it; X-API-Key goes before Bearer (CONTRACT)."""
    fields = request.fields
    if fields.credential is not None and (place := fields.places[0]) is not None:
        return fields.credential, place.name
    keys = fields.all(b"x-api-key")
    if keys:
        return keys[0], b"x-api-key"
    for value in fields.all(b"authorization"):
        if value[:7].lower() == b"bearer ":
            return value[7:].strip(b" \t"), b"authorization"
    in_query = query_value(request.target, query_key.encode()) if query_key else None
    return (in_query, b"") if in_query is not None else None


class KeyAuthentication:
    """Phase authenticate, on routes with ``auth: key``."""

    def __init__(self, directory: Directory, clock: Clock) -> None:
        self._directory = directory
        self._now = clock.now

    def __call__(self, event: Authenticate) -> Principal | Refusal:
        fields = event.request.fields
        digest = fields.digest
        if digest is None:
            found = credential(event.request, event.route.query_key)
            if found is None:
                return MISSING_KEY
            digest = digest_of(found[0])
            principal = self._directory.find(digest)
            # Who was served before has a well-formed key.
            if principal is None or (principal.bound is None and not isinstance(classify(found[0]), bytes)):
                return UNKNOWN_KEY
            if found[1]:  # from a field: the same for every request with the same section
                fields.digest = digest
        elif (principal := self._directory.find(digest)) is None:
            return UNKNOWN_KEY
        if principal.unrestricted:
            return principal
        key = principal.key
        if key.revoked_us is not None or key.expires_us is not None:
            now = self._now()
            if key.revoked_us is not None and key.revoked_us <= now:
                return REVOKED_KEY
            if key.expires_us is not None and key.expires_us <= now:
                return EXPIRED_KEY
        if principal.tenant.status != "active":
            refusal = SUSPENDED if principal.tenant.status == "suspended" else CLOSED
            return Refusal(refusal.status, refusal.code, refusal.detail, principal=principal)
        return principal


class Meters:
    """Phase measure: the units of the route's own meters, those found in the body among them."""

    def __call__(self, event: Measure) -> Mapping[str, int]:
        units: dict[str, int] = {}
        for meter in event.route.meters:
            if meter.source == "constant":
                units[meter.name] = meter.amount
            elif meter.source == "request_bytes":
                units[meter.name] = event.request_bytes
            elif meter.source == "response_bytes":
                units[meter.name] = event.response_bytes
            elif meter.source == "duration":
                units[meter.name] = -(-event.duration_us // 1000)
            elif meter.source == "header":
                found = header_units(event.response.header(meter.path.encode()))
                if found is not None:
                    units[meter.name] = found
            elif meter.name in event.reported:
                units[meter.name] = event.reported[meter.name]
        return units


def _needs_key(route: Route) -> bool:
    return route.auth == "key"


def _needs_measuring(route: Route) -> bool:
    return any(meter.source != "constant" for meter in route.meters)


def register_core(registry: Registry, directory: Directory, clock: Clock) -> None:
    """Put the core stages in: keys before a plugin's authenticators, addresses and meters before its measures."""
    authentication = KeyAuthentication(directory, clock)
    registry.add(Phase.AUTHENTICATE, "core.keys", authentication, applies=_needs_key)
    registry.add(Phase.ADMIT, "core.addresses", AddressRules(), applies=has_rules, first=True)
    registry.add(Phase.ADMIT, "core.scopes", ScopeRules(), applies=has_scopes, first=True)
    registry.add(Phase.MEASURE, "core.meters", Meters(), applies=_needs_measuring, first=True)
