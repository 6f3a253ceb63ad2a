"""A strand goes on inside the wake that it waits for; futures of asyncio serve too."""

import asyncio

from gateway.proxy.strand import Signal, Strand


async def test_a_wake_goes_on_before_it_returns():
    signal, seen = Signal(), []

    async def run():
        seen.append("begun")
        await signal
        seen.append("woken")
        await signal
        seen.append("done")

    strand = Strand(run())
    assert seen == ["begun"]
    signal.wake()
    assert seen == ["begun", "woken"]
    assert not strand.done
    signal.wake()
    assert strand.done


async def test_a_wake_that_nobody_waits_for_is_lost():
    signal = Signal()
    signal.wake()

    async def run():
        await signal

    strand = Strand(run())
    assert not strand.done
    signal.wake()
    signal.wake()
    assert strand.done


async def test_a_wake_by_the_strand_itself_changes_nothing():
    signal = Signal()

    async def run():
        signal.wake()
        await signal
        signal.wake()

    strand = Strand(run())
    assert not strand.done
    signal.wake()
    assert strand.done


async def test_futures_tasks_and_their_errors():
    seen = []

    async def fails():
        async with asyncio.timeout(1):
            await asyncio.sleep(0)
            raise OSError("lost")

    async def run():
        await asyncio.sleep(0)
        seen.append("slept")
        try:
            await asyncio.ensure_future(fails())
        except OSError as error:
            seen.append(str(error))

    strand = Strand(run())
    while not strand.done:  # noqa: ASYNC110
        await asyncio.sleep(0)
    assert seen == ["slept", "lost"]
