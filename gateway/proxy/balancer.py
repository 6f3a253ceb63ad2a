"""Which target of an upstream takes a call: smooth weighted round robin, or the least busy for its weight.

Members live on from plan to plan, so that a reload forgets no ejection. An upstream with one target that nobody checks
has nothing to choose: it is never ejected, for its own error says more than "no healthy target".
"""

import logging
import time
from collections.abc import Collection

from gateway.proxy.metrics import Metrics
from gateway.proxy.pool import Pool
from gateway.routing.route import Target, Upstream
from gateway.routing.standing import Conduct

MemberKey = tuple[str, Target]


class Member:
    """One target within an upstream. ``busy`` are its calls; ``credit`` is its turn in the round robin."""

    __slots__ = ("busy", "conduct", "credit", "name", "pool", "url", "watched", "weight")

    def __init__(self, upstream: Upstream, target: Target, pool: Pool) -> None:
        self.pool = pool
        self.url = target.url
        self.weight = target.weight
        self.name = f"{upstream.name}|{target.url}"
        self.busy = 0
        self.credit = 0
        self.conduct = Conduct(upstream.ejection, checked=upstream.health is not None)
        self.watched = False
        self.configure(upstream)

    def configure(self, upstream: Upstream) -> None:
        """Follow a changed configuration."""
        self.conduct.rule = upstream.ejection
        self.conduct.checked = upstream.health is not None
        self.watched = len(upstream.targets) > 1 or upstream.health is not None


class Balancer:
    """One upstream's members; used by all its routes."""

    def __init__(self, upstream: Upstream, members: list[Member], metrics: Metrics, logger: logging.Logger) -> None:
        self.upstream = upstream
        self.members = members
        self._metrics = metrics
        self._logger = logger
        self._least = upstream.balance == "least_connections"
        self._only = None if members[0].watched else members[0]
        for member in members:
            member.configure(upstream)
            if member.watched:
                metrics.targets.setdefault(member.name, 1)

    def choose(self, tried: Collection[Member] = ()) -> Member | None:
        """Who takes the next call, none that was tried; None when no target is healthy."""
        if self._only is not None:
            return None if tried else self._only
        now_us = time.monotonic_ns() // 1000
        able = [member for member in self.members if member not in tried and member.conduct.admits(now_us)]
        if not able:
            return None
        if self._least:
            able.sort(key=lambda member: member.busy / member.weight)
            least = able[0].busy / able[0].weight
            able = [member for member in able if member.busy / member.weight == least]
        chosen = _next_in_turn(able)
        chosen.busy += 1
        chosen.conduct.given()
        return chosen

    def released(self, member: Member, term: int) -> None:
        """A call that was given to it in that term of its conduct is over."""
        if member.watched:
            member.busy = max(0, member.busy - 1)
            member.conduct.returned(term)

    def succeeded(self, member: Member, term: int) -> None:
        """It answered."""
        if member.watched and member.conduct.succeeded(term):
            self._back(member)

    def failed(self, member: Member, term: int) -> None:
        """It could not be reached, broke off before an answer, answered nonsense, or not in time."""
        if member.watched and member.conduct.failed(time.monotonic_ns() // 1000, term):
            self._out(member)

    def checked(self, member: Member, healthy: bool, most_failures: int) -> None:
        """An active check told."""
        if healthy:
            if member.conduct.check_succeeded():
                self._back(member)
        elif member.conduct.check_failed(time.monotonic_ns() // 1000, most_failures):
            self._out(member)

    def _out(self, member: Member) -> None:
        self._metrics.targets[member.name] = 0
        self._logger.warning("target ejected", extra={"upstream": self.upstream.name, "target": member.url})

    def _back(self, member: Member) -> None:
        self._metrics.targets[member.name] = 1
        self._logger.warning("target is back", extra={"upstream": self.upstream.name, "target": member.url})


def _next_in_turn(members: list[Member]) -> Member:
    """Smooth weighted round robin: each gains its weight, the richest pays the sum."""
    total = 0
    for member in members:
        member.credit += member.weight
        total += member.weight
    chosen = max(members, key=lambda member: member.credit)
    chosen.credit -= total
    return chosen
