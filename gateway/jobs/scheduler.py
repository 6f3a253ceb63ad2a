"""When jobs run: at the start, then each at its interval, one run at a time; failures are logged and tried again.

Of several control processes over one store one runs them; they stand being run by two, when a lease ends in mid-job.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

logger = logging.getLogger(__name__)


class Job(Protocol):
    """Work that finds out by itself what is due, and does nothing twice."""

    @property
    def name(self) -> str: ...

    async def run(self) -> None:
        """Do all that is due."""
        ...


class Leadership(Protocol):
    """Tells who of several schedulers runs the jobs."""

    @property
    def leads(self) -> bool: ...

    async def keep(self) -> None:
        """Take and renew it until cancelled, then give it up."""
        ...

    async def renew(self) -> None:
        """Take or renew it once."""
        ...


@dataclass(frozen=True, slots=True)
class Scheduled:
    """A job and the seconds between two runs of it."""

    job: Job
    interval: float


async def run_jobs(jobs: Sequence[Scheduled], leader: Leadership) -> None:
    """Run the jobs until cancelled, whenever ``leader`` leads."""
    await leader.renew()
    async with asyncio.TaskGroup() as group:
        group.create_task(leader.keep(), name="leader")
        for scheduled in jobs:
            group.create_task(_repeat(scheduled, leader), name=f"job {scheduled.job.name}")


async def _repeat(scheduled: Scheduled, leader: Leadership) -> None:
    while True:
        if leader.leads:
            try:
                await scheduled.job.run()
            except Exception:
                logger.exception("a job failed and is tried again", extra={"job": scheduled.job.name})
        await asyncio.sleep(scheduled.interval)
