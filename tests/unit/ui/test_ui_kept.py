"""Readings that are kept: when they are made anew, and that many viewers cost one."""

import asyncio

import pytest

from gateway.clock import SECOND_US, ManualClock
from gateway.ui.kept import FACTOR, LONGEST_US, STALE_US, Kept


class Source:
    """Something to read: it counts the readings, takes ``takes_us`` for each, and has a version."""

    def __init__(self, clock):
        self.clock, self.reads, self.takes_us, self.at_version = clock, 0, 0, 1

    async def read(self):
        self.reads += 1
        await asyncio.sleep(0)
        self.clock.advance(self.takes_us)
        return self.reads

    async def version(self):
        return self.at_version


@pytest.fixture
def source():
    return Source(ManualClock(SECOND_US))


@pytest.fixture
def kept(source):
    return Kept(source.clock, source.read, source.version)


async def test_a_reading_serves_until_the_version_moves_or_it_is_old(kept, source):
    assert [await kept.get() for _ in range(3)] == [1, 1, 1]
    source.at_version = 2
    assert await kept.get() == 2
    source.clock.advance(LONGEST_US)
    assert await kept.get() == 3


async def test_many_who_ask_at_once_cost_one_reading(kept, source):
    assert await asyncio.gather(*(kept.get() for _ in range(20))) == [1] * 20


async def test_a_dear_reading_outlives_its_version(kept, source):
    source.takes_us = SECOND_US
    assert await kept.get() == 1
    source.at_version = 2
    source.clock.advance(FACTOR * SECOND_US - 1)
    assert await kept.get() == 1
    source.clock.advance(STALE_US)
    assert await kept.get() == 2


async def test_nobody_waits_for_a_dear_reading_that_was_there_a_moment_ago(kept, source):
    source.takes_us = SECOND_US
    assert await kept.get() == 1
    source.clock.advance(FACTOR * SECOND_US)
    assert [await kept.get() for _ in range(3)] == [1, 1, 1]
    for _ in range(5):
        await asyncio.sleep(0)
    assert (source.reads, await kept.get()) == (2, 2)


async def test_closing_ends_what_is_being_read(kept, source):
    source.takes_us = SECOND_US
    await kept.get()
    source.clock.advance(FACTOR * SECOND_US)
    await kept.get()
    await kept.close()
    assert (source.reads, await kept.get()) == (1, 1)


async def test_a_failed_reading_is_not_kept(source):
    async def broken():
        raise ConnectionError

    kept = Kept(source.clock, broken, source.version)
    for _ in range(2):
        with pytest.raises(ConnectionError):
            await kept.get()
