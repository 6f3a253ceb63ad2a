"""Whose calls are taken, by the caller's address behind trusted proxies: on routes with ``addresses`` (phase admit),
and by keys that are for some networks only."""

from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from gateway.hooks.events import Admit, Refusal
from gateway.routing.route import Route

ADDRESS_DENIED = Refusal(403, "address_denied", "Calls from this address are not taken here.")

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


def has_rules(route: Route) -> bool:
    return bool(route.allow or route.deny)
