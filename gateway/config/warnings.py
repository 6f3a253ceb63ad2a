"""What is valid and hardly meant: said by ``gateway check``, refused by nothing."""

from collections import defaultdict
from collections.abc import Iterator

from gateway.config.snapshot import Snapshot
from gateway.quotas.limit import Algorithm, Limit


def warnings_of(snapshot: Snapshot) -> list[str]:
    """All of them, plan by plan."""
    return [f"plans.{name}: {text}" for name, plan in snapshot.plans.items() for text in _limits(plan.limits)]


def _limits(limits: tuple[Limit, ...]) -> Iterator[str]:
    """Buckets are told apart by what they count, not by their rate (SEMANTICS §16)."""
    shared: dict[tuple[object, ...], list[Limit]] = defaultdict(list)
    for limit in limits:
        if limit.algorithm is Algorithm.BUCKET:
            shared[limit.meter, limit.window, limit.by, limit.routes].append(limit)
    for group in shared.values():
        if len({(limit.max, limit.burst) for limit in group}) > 1:
            names = ", ".join(limit.name for limit in group)
            yield f"limits {names} share one bucket with different rates: it drains at the rate of the first"
