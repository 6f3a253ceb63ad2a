"""The jobs that control processes run: of several over one store, the one that holds the lease runs them."""

from collections.abc import Callable
from pathlib import Path

from gateway.clock import Clock
from gateway.config.snapshot import Snapshot
from gateway.invoicing.following import BillingDesk
from gateway.invoicing.retention import RetentionDesk
from gateway.jobs import billing, retention
from gateway.jobs.leader import Leader
from gateway.jobs.scheduler import Scheduled, run_jobs
from gateway.spool.identity import read_host_id
from gateway.storage.store import Store


async def run_all(store: Store, snapshot: Callable[[], Snapshot], clock: Clock, data: Path) -> None:
    """Run all jobs until cancelled."""
    jobs = [
        Scheduled(billing.BillingJob(BillingDesk(store, snapshot, clock)), billing.INTERVAL),
        Scheduled(retention.RetentionJob(RetentionDesk(store, clock), snapshot), retention.INTERVAL),
    ]
    # A host runs one control process at a time: the next one goes on with its lease.
    await run_jobs(jobs, Leader(store.leases, clock, read_host_id(data).hex()))
