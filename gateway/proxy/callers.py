"""Whose calls are taken: by the caller's address behind trusted proxies, on routes with ``addresses`` (phase admit) and
by keys that are for some networks only; and by the scopes of key and route."""

from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from gateway.hooks.events import Admit, Refusal
from gateway.routing.route import Route

ADDRESS_DENIED = Refusal(403, "address_denied", "Calls from this address are not taken here.")

SCOPE_DENIED = Refusal(403, "scope_denied", "This key is not for this route.")

KEY_ADDRESS_DENIED = Refusal(403, "address_denied", "This key is not taken from this address.")


class AddressRules:
    """``deny`` goes before ``allow``; an ``allow`` that is not empty lets nobody else pass."""

    def __call__(self, event: Admit) -> Refusal | None:
        route = event.route
        return None if admits(route.allow, route.deny, event.address) else ADDRESS_DENIED


@lru_cache(maxsize=16384)
def admits(allow: tuple[str, ...], deny: tuple[str, ...], address: str) -> bool:
    """Whether an address passes; one that cannot be read passes only where nobody is named."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, IPv6Address):
        parsed = parsed.ipv4_mapped or parsed
    if any(parsed in network for network in _networks(deny)):
        return False
    return not allow or any(parsed in network for network in _networks(allow))


@lru_cache(maxsize=1024)
def _networks(texts: tuple[str, ...]) -> tuple[IPv4Network | IPv6Network, ...]:
    return tuple(ip_network(text, strict=False) for text in texts)


class ScopeRules:
    """A key that names no scopes is for every route; one that does, for those whose scopes it names."""

    def __call__(self, event: Admit) -> Refusal | None:
        principal = event.principal
        if principal is None or not principal.key.scopes or event.route.scopes.issubset(principal.key.scopes):
            return None
        return SCOPE_DENIED


def has_scopes(route: Route) -> bool:
    return bool(route.scopes)


def has_rules(route: Route) -> bool:
    return bool(route.allow or route.deny)
