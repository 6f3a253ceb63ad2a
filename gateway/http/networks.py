"""Whether an address lies in a list of networks."""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network


@lru_cache(maxsize=4096)
def _network(text: str) -> IPv4Network | IPv6Network:
    return ip_network(text, strict=False)


def permitted(networks: Sequence[str], address: str) -> bool:
    """Whether ``address`` is in one of the networks; without networks any is. An IPv4 address within IPv6 is IPv4."""
    if not networks:
        return True
    try:
        found = ip_address(address)
    except ValueError:
        return False
    found = getattr(found, "ipv4_mapped", None) or found
    return any(found in _network(network) for network in networks)
