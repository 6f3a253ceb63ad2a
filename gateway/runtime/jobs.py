"""The jobs that the control process runs. With several control processes all run them: each job stands that."""

import asyncio
from collections.abc import Callable

from gateway.clock import Clock
from gateway.config.snapshot import Snapshot
from gateway.invoicing.subscriptions import BillingDesk
from gateway.jobs import billing
from gateway.jobs.scheduler import Scheduled, run_jobs
from gateway.storage.store import Store


def start_jobs(store: Store, snapshot: Callable[[], Snapshot], clock: Clock) -> asyncio.Task[None]:
    """Start all jobs; the caller cancels the task and awaits it."""
    jobs = [Scheduled(billing.BillingJob(BillingDesk(store, snapshot, clock)), billing.INTERVAL)]
    return asyncio.create_task(run_jobs(jobs), name="jobs")
