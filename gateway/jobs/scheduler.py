"""When jobs run: at the start, then each at its interval, one run at a time; failures are logged and tried again."""

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


@dataclass(frozen=True, slots=True)
class Scheduled:
    """A job and the seconds between two runs of it."""

    job: Job
    interval: float


async def run_jobs(jobs: Sequence[Scheduled]) -> None:
    """Run the jobs until cancelled."""
    async with asyncio.TaskGroup() as group:
        for scheduled in jobs:
            group.create_task(_repeat(scheduled), name=f"job {scheduled.job.name}")


async def _repeat(scheduled: Scheduled) -> None:
    while True:
        try:
            await scheduled.job.run()
        except Exception:
            logger.exception("a job failed and is tried again", extra={"job": scheduled.job.name})
        await asyncio.sleep(scheduled.interval)
