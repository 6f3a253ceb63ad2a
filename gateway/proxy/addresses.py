"""Who calls: the peer, or the one that a trusted proxy names; and what the record shows of it."""

from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final

from gateway.http.request import Request
from gateway.quotas.binding import address_scope

_REMEMBERED: Final = 4096


class Addresses:
    """Compiled from ``server.trusted_proxies`` and ``calls.address``."""

    def __init__(self, trusted: tuple[str, ...], mode: str, secret: bytes) -> None:
        self._networks = [ip_network(text, strict=False) for text in trusted]
        self._mode = mode
        self._secret = secret
        self._trusted: dict[str, bool] = {}
        self._shown: dict[str, str] = {}

    def trusts(self, address: str) -> bool:
        """Whether an address is a trusted proxy's."""
        if not self._networks:
            return False
        known = self._trusted.get(address)
        if known is None:
            try:
                parsed = ip_address(address)
            except ValueError:
                return False
            known = any(parsed in network for network in self._networks if network.version == parsed.version)
            if len(self._trusted) >= _REMEMBERED:
                self._trusted.clear()
            self._trusted[address] = known
        return known

    def caller(self, peer: str, request: Request) -> str:
        """The right-most address of X-Forwarded-For that is not a trusted proxy's; the peer if it is not trusted."""
        if not self.trusts(peer):
            return peer
        chain = b",".join(request.fields.all(b"x-forwarded-for")).decode("latin-1")
        caller = peer
        for hop in reversed([part.strip() for part in chain.split(",") if part.strip()]):
            try:
                caller = str(ip_address(hop))
            except ValueError:
                break
            if not self.trusts(caller):
                break
        return caller

    def shown(self, address: str) -> str:
        """The address as the record keeps it: full, truncated to /24 or /48, or as a keyed hash."""
        if self._mode == "full":
            return address
        shown = self._shown.get(address)
        if shown is None:
            if len(self._shown) >= _REMEMBERED:
                self._shown.clear()
            hashed = self._mode == "hashed"
            shown = self._shown[address] = address_scope(address, self._secret) if hashed else _truncated(address)
        return shown


def _truncated(address: str) -> str:
    try:
        parsed = ip_address(address)
    except ValueError:
        return ""
    length = 48 if isinstance(parsed, IPv6Address) else 24
    return str(ip_network((parsed, length), strict=False).network_address)
