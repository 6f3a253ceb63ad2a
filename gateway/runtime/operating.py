"""What the operator's pages ask of this host: the kept messages, the targets' health, and a comparison of all sums."""

from collections.abc import Iterable, Mapping
from email import message_from_bytes, policy
from pathlib import Path

from gateway.clock import Clock
from gateway.config.snapshot import Snapshot
from gateway.counters.mmap_store import MmapCounterStore
from gateway.counters.redis_desk import RedisDesk
from gateway.runtime import paths
from gateway.runtime.reconciliation import Reconciliation
from gateway.spool.reader import SpoolReader
from gateway.storage.store import Store
from gateway.ui.reconciling import Compared, Comparison
from gateway.ui.services import Letter

LETTERS = 50
MAX_BYTES = 64 * 1024
SHOWN = 50


def read_letters(folder: Path) -> list[Letter]:
    """The newest messages that are kept as files."""
    found = []
    for path in sorted(folder.glob("[!.]*.eml"), reverse=True)[:LETTERS]:
        try:
            with path.open("rb") as file:
                message = message_from_bytes(file.read(MAX_BYTES), policy=policy.default)
        except OSError:  # it was sent in this moment
            continue
        body = message.get_body(("plain",))
        text = str(body.get_content()) if body is not None else ""
        found.append(Letter(str(message["To"] or ""), str(message["Subject"] or ""), str(message["Date"] or ""), text))
    return found


def target_health(workers: Iterable[Mapping[str, object]]) -> dict[str, bool]:
    """``upstream|url`` to whether every worker sends calls there; targets that nobody has used yet are absent."""
    health: dict[str, bool] = {}
    for worker in workers:
        targets = worker.get("targets")
        for name, value in targets.items() if isinstance(targets, Mapping) else ():
            health[str(name)] = health.get(str(name), True) and bool(value)
    return health


async def compare(
    snapshot: Snapshot, store: Store, data: Path, counters: MmapCounterStore | RedisDesk, clock: Clock
) -> Comparison:
    """Compare everything that this host knows."""
    spool = SpoolReader(paths.spool(data))
    report = await Reconciliation(snapshot, store, spool, data, counters).report()
    checks = tuple(
        Compared(
            check.name,
            check.compared,
            tuple((one.where, one.expected, one.found) for one in check.differences[:SHOWN]),
        )
        for check in report.checks
    )
    silent = tuple((mark.host, mark.reported_us) for mark in report.silent)
    return Comparison(clock.now(), report.complete_until_us, report.unshipped, report.difference, checks, silent)
