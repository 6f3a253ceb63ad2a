"""Which Redis node holds a tenant: the only one, or the one whose slots its hash tag falls in (Redis Cluster)."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from redis.crc import key_slot

from gateway.config.redis_url import RedisAddress
from gateway.counters import redis_form as form
from gateway.counters.redis_link import RedisLink
from gateway.errors import StoreUnavailable

_SLOTS: Final = 16_384


class RedisNodes:
    """Links by tenant. The first link is that of the configured address; the others come with the cluster's map."""

    def __init__(self, address: RedisAddress, on_up: Callable[[RedisLink], None]) -> None:
        self._on_up = on_up
        self._links: dict[tuple[str, int], RedisLink] = {}
        self._owners: list[RedisLink] = []
        self._by_tenant: dict[str, RedisLink] = {}
        self._mapping: asyncio.Task[None] | None = None
        self.first = self._links[address.host, address.port] = RedisLink(address, self._came_up)

    def of(self, tenant: str) -> RedisLink:
        """The link to the node that holds a tenant's counters; raises ``StoreUnavailable`` while nobody knows."""
        found = self.find(tenant)
        if found is None:
            raise StoreUnavailable("the cluster's map is not known yet", "unavailable")
        return found

    def find(self, tenant: str) -> RedisLink | None:
        """The same; None while nobody knows."""
        if not self.first.cluster:
            return self.first
        found = self._by_tenant.get(tenant)
        if found is None and self._owners:
            slot = key_slot(form.key_prefix(tenant, ""))
            found = self._by_tenant[tenant] = self._owners[slot]
        return found

    async def close(self) -> None:
        if self._mapping is not None:
            self._mapping.cancel()
        for link in self._links.values():
            await link.close()

    def _came_up(self, link: RedisLink) -> None:
        """A node answers (again): slots may have moved, which is also why a link is dropped (MOVED)."""
        if not link.cluster:
            self._on_up(link)
        elif self._mapping is None or self._mapping.done():
            self._mapping = asyncio.get_running_loop().create_task(self._map(link), name="cluster map")

    async def _map(self, link: RedisLink) -> None:
        try:
            rows = await link.ask(form.command(b"CLUSTER", b"SLOTS"))
        except StoreUnavailable:
            return  # its next connection asks again
        owners: list[RedisLink] = [self.first] * _SLOTS
        assert isinstance(rows, list)
        for first, last, master, *_ in rows:
            host, port = (master[0] or b"").decode() or link.address.host, int(master[1])
            node = self._links.get((host, port))
            if node is None:
                node = self._links[host, port] = RedisLink(
                    replace(self.first.address, host=host, port=port), self._came_up
                )
            owners[first : last + 1] = [node] * (last - first + 1)
        self._owners = owners
        self._by_tenant.clear()
        self._on_up(link)
