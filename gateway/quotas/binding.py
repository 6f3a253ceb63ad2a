"""Which limits apply to one key on one route, and the reservation that each of its calls makes."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b
from ipaddress import IPv6Address, ip_address
from typing import Final

from gateway.quotas.counter import Bounds, Counter, CounterRequest, Reservation, ScopeIds
from gateway.quotas.limit import Algorithm, Limit, Scope
from gateway.quotas.packing import pack
from gateway.quotas.reported import room_above
from gateway.quotas.windows import Customer, bounds_at, identity, length_us

MAX_LIMITS: Final = 100
"""Limits that one call can have; a store undoes that many changes after a crash."""

_ADDRESSES: Final = 256  # reservations remembered per binding that limits by address
_FOREVER: Final = 1 << 62
_NOTHING: Final = Reservation((), b"")


def address_scope(address: str, secret: bytes) -> str:
    """An address as counters and records know it: a keyed hash, of the /64 for IPv6 (SEMANTICS §6, 20)."""
    try:
        parsed = ip_address(address)
    except ValueError:
        seed = address.encode(errors="surrogateescape")
    else:
        if isinstance(parsed, IPv6Address):
            parsed = parsed.ipv4_mapped or parsed
        seed = parsed.packed[:8] if isinstance(parsed, IPv6Address) else parsed.packed
    return blake2b(seed, digest_size=16, key=secret[:64]).hexdigest()


def counter_key(limit: Limit, tenant: Customer, scope: ScopeIds) -> bytes:
    """16 bytes from (scope ids, meter, algorithm, window, routes), never from plan, name or maximum (SEMANTICS §16)."""
    concurrent = limit.algorithm is Algorithm.CONCURRENT
    calendar = limit.algorithm is Algorithm.CALENDAR
    parts = [scope.tenant]
    parts += [f"{name}={value}" for name in limit.by if name != "tenant" and (value := getattr(scope, name))]
    parts += ["", "" if concurrent else limit.meter, limit.algorithm.name, identity(limit.window, tenant, calendar)]
    parts += sorted(limit.routes)
    digest = blake2b(digest_size=16)
    for part in parts:  # length-prefixed, so that no two lists of parts read alike
        encoded = part.encode(errors="surrogateescape")
        digest.update(len(encoded).to_bytes(4, "little") + encoded)
    return digest.digest()


class Binding:
    """The limits of one (plan, tenant, key, route), with the last reservation made: calls mostly repeat it."""

    __slots__ = (
        "_amounts", "_by_address", "_fixed", "_from_us", "_recent", "_reservation", "_scope", "_secret", "_tenant",
        "_until_us", "keeps", "limits", "reported",
    )  # fmt: skip

    def __init__(self, limits: Sequence[Limit], tenant: Customer, key_id: str, route: str, secret: bytes) -> None:
        if len(limits) > MAX_LIMITS:
            raise ValueError(f"{len(limits)} limits apply to route {route}; at most {MAX_LIMITS} can")
        self.limits = tuple(limits)
        self._tenant = tenant
        self._scope = ScopeIds(tenant.id, key_id, route)
        self._secret = secret
        self._fixed = {limit.name: None if "address" in limit.by else self._counter(limit, "") for limit in limits}
        self._recent: dict[str, Reservation] = {}
        # What every call looks at, last and together (compiled, attributes lie in the order they are first set).
        self._by_address = any("address" in limit.by for limit in limits)
        self.keeps = all(limit.algorithm is not Algorithm.CONCURRENT for limit in limits)
        """Whether a call that cost what it reserved leaves nothing to settle."""
        self.reported = any(limit.reported for limit in limits)
        """Whether events decide too: then ``reported.judged`` has the last word."""
        self._from_us = 0
        self._until_us = 0 if limits else _FOREVER
        self._amounts: Mapping[str, int] = {}
        self._reservation = _NOTHING

    def reservation(self, now_us: int, amounts: Mapping[str, int], address: str = "") -> Reservation:
        """What a call asks for that is worth ``amounts`` units per meter.

        A limit on a meter that is not in ``amounts`` does not concern the call. The same object comes back while
        amounts and calendar windows stay the same, so that a store can keep what it knows about it. ``amounts`` is kept
        and must not be changed afterwards.
        """
        if self._from_us <= now_us < self._until_us and (amounts is self._amounts or amounts == self._amounts):
            if not self._by_address:
                return self._reservation
            found = self._recent.get(address)
            if found is not None:
                return found
        elif not self.limits:
            return _NOTHING
        return self._build(now_us, amounts, address)

    def actual(self, reservation: Reservation, units: Mapping[str, int]) -> tuple[int, ...]:
        """The true amounts in the reservation's order: a concurrency limit holds nothing after the call."""
        return tuple(
            0 if request.counter.algorithm is Algorithm.CONCURRENT else units.get(request.counter.limit.meter, 0)
            for request in reservation.requests
        )

    def counters(self, now_us: int, address: str = "") -> tuple[Counter, ...]:
        """The counters of all its limits, for reading without taking."""
        return tuple(self._at(limit, address, self._bounds(limit, now_us)) for limit in self.limits)

    def _build(self, now_us: int, amounts: Mapping[str, int], address: str) -> Reservation:
        requests: list[CounterRequest] = []
        first, last = 0, _FOREVER
        for limit in self.limits:
            concurrent = limit.algorithm is Algorithm.CONCURRENT
            if not concurrent and limit.meter not in amounts and not limit.reported:
                continue
            bounds = self._bounds(limit, now_us)
            if bounds is not None:
                first, last = max(first, bounds.start_us), min(last, bounds.end_us)
            counter = self._at(limit, address, bounds)
            requests.append(CounterRequest(counter, 1 if concurrent else 0 if limit.reported else amounts[limit.meter]))
        made = tuple(requests)
        tenant = self._tenant.id
        reservation = Reservation(made, pack(made, tenant), tenant) if made else _NOTHING
        if amounts != self._amounts or not self._from_us <= now_us < self._until_us:
            self._recent.clear()
        elif len(self._recent) >= _ADDRESSES:
            del self._recent[next(iter(self._recent))]
        self._reservation = reservation
        if self._by_address:
            self._recent[address] = reservation
        self._amounts, self._from_us, self._until_us = amounts, first, last
        return reservation

    def _bounds(self, limit: Limit, now_us: int) -> Bounds | None:
        if limit.algorithm is not Algorithm.CALENDAR or limit.window is None:
            return None
        return bounds_at(limit.window, self._tenant, now_us)

    def _at(self, limit: Limit, address: str, bounds: Bounds | None) -> Counter:
        counter = self._fixed[limit.name] or self._counter(limit, address_scope(address, self._secret))
        if bounds is None:
            return counter
        key, maximum, seeded_from = counter.key, counter.max, counter.scope
        return Counter(key, counter.algorithm, maximum, 0, counter.burst, bounds, counter.volatile, limit, seeded_from)

    def _counter(self, limit: Limit, address: str) -> Counter:
        own = self._scope

        def chosen(name: Scope, value: str) -> str:
            return value if name in limit.by else ""

        scope = ScopeIds(own.tenant, chosen("key", own.key), chosen("route", own.route), address)
        calendar = limit.algorithm is Algorithm.CALENDAR  # a calendar window has its own length
        window_us = length_us(limit.window) if limit.window and not calendar else 0
        seeded_from = None if address else scope
        key = counter_key(limit, self._tenant, scope)
        maximum = limit.max + room_above(limit)
        return Counter(key, limit.algorithm, maximum, window_us, limit.burst, None, bool(address), limit, seeded_from)


def bind(
    limits: Sequence[Limit],
    overrides: Mapping[str, Mapping[str, int]],
    tenant: Customer,
    key_id: str,
    route: str,
    secret: bytes = b"",
) -> Binding:
    """The limits of a plan that apply to a route, with a tenant's own maxima (``{name: {max: N}}``) in place.

    ``secret`` keys the hash of addresses; all workers of a host pass the same.
    """
    return Binding(applying(limits, overrides, route), tenant, key_id, route, secret)


def applying(limits: Sequence[Limit], overrides: Mapping[str, Mapping[str, int]], route: str) -> list[Limit]:
    """The limits of a plan that apply to a route, with a tenant's own maxima in place."""
    chosen = [limit for limit in limits if not limit.routes or route in limit.routes]
    return [_overridden(limit, overrides.get(limit.name)) for limit in chosen]


def _overridden(limit: Limit, override: Mapping[str, int] | None) -> Limit:
    if not override:
        return limit
    new_max = override.get("max", override.get("concurrent", limit.max))
    return replace(limit, max=new_max, burst=override.get("burst", limit.burst))
