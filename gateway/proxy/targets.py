"""All targets of a worker: their pools, and per upstream who takes the next call. They outlive a change of plan."""

import logging
from collections.abc import Iterable

from gateway.proxy.balancer import Balancer, Member, MemberKey
from gateway.proxy.metrics import Metrics
from gateway.proxy.pool import Pool
from gateway.proxy.probing import HealthChecks
from gateway.proxy.settings import Settings
from gateway.routing.route import Target, Upstream


class Targets:
    """``balancer`` while a plan is compiled, ``keep`` when it is the present one."""

    def __init__(self, settings: Settings, metrics: Metrics, logger: logging.Logger) -> None:
        self._settings = settings
        self._metrics = metrics
        self._logger = logger
        self._pools: dict[Target, Pool] = {}
        self._members: dict[MemberKey, Member] = {}
        self._balancers: dict[Upstream, Balancer] = {}
        self._checks = HealthChecks(logger)

    def balancer(self, upstream: Upstream) -> Balancer:
        """The balancer of an upstream; one that changed goes on with what is known of its targets."""
        found = self._balancers.get(upstream)
        if found is None:
            members = [self._member(upstream, target) for target in dict.fromkeys(upstream.targets)]
            found = self._balancers[upstream] = Balancer(upstream, members, self._metrics, self._logger)
        return found

    def _member(self, upstream: Upstream, target: Target) -> Member:
        key = upstream.name, target
        if key not in self._members:
            pool = self._pools.get(target)
            if pool is None:
                pool = self._pools[target] = Pool(target, self._settings)
            self._members[key] = Member(upstream, target, pool)
        return self._members[key]

    def keep(self, upstreams: Iterable[Upstream]) -> None:
        """Forget all others. Their calls in progress end on the connections that they have."""
        kept = set(upstreams)
        for upstream in self._balancers.keys() - kept:
            del self._balancers[upstream]
        members = {(upstream.name, target) for upstream in kept for target in upstream.targets}
        for key in self._members.keys() - members:
            self._metrics.targets.pop(self._members.pop(key).name, None)
        for target in self._pools.keys() - {target for _, target in members}:
            self._pools.pop(target).close()
        self._checks.follow(self._balancers.values())

    def expire(self, now: float) -> None:
        """Close connections that sat idle too long."""
        for pool in self._pools.values():
            pool.expire(now)

    async def close(self) -> None:
        """The worker ends."""
        await self._checks.stop()
        for pool in self._pools.values():
            pool.close()
