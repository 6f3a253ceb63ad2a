"""Whether an address lies in a list of networks, and who is behind proxies that lie in one."""

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


def client_address(trusted: Sequence[str], peer: str, forwarded: Sequence[str]) -> str:
    """The caller's address; behind trusted proxies the last of X-Forwarded-For that they did not add themselves."""
    address = peer
    if not trusted or not permitted(trusted, peer):
        return address
    for hop in reversed([part.strip() for part in ",".join(forwarded).split(",") if part.strip()]):
        address = hop
        if not permitted(trusted, hop):
            break
    return address[:64]
