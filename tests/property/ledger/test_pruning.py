"""Pruning at any times, in any order, beside postings and late rows, changes no answer (SEMANTICS §28)."""

import asyncio
import json
import os
import random
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import asyncpg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.records import T0, call, frames, varied

from gateway.metering.record import CallRecord
from gateway.storage.billing_usage import late_since, units_until
from gateway.storage.ports import PLATFORM, Scope, UsageQuery
from gateway.storage.sealing import Bounds
from gateway.storage.slices import Span
from gateway.storage.store import Store, open_store
from gateway.storage.values import CallFilter

QUARTER = 900_000_000
DAY = 86_400_000_000
NOW = T0 + 50 * DAY
FILTERS = (
    CallFilter(),
    CallFilter(key="k1"),
    CallFilter(route="chat", status=2),
    CallFilter(status=404),
    CallFilter(since_us=T0 + 5 * QUARTER, until_us=T0 + 17 * QUARTER),
)


async def answers(store: Store, instants: list[int], watermarks: list[int]) -> str:
    """All that is read of the ledger, but single calls. Periods begin at quarter hours and at ``instants``."""
    ledger = store.ledger
    bounds = sorted({T0 - DAY, T0 + 3 * QUARTER, T0 + 11 * QUARTER, T0 + DAY, *instants})
    whole = UsageQuery(bounds[0], bounds[-1])
    found: list[object] = [await ledger.count_calls(PLATFORM, one) for one in FILTERS]
    for scope in (PLATFORM, Scope("acme")):
        found += [
            await ledger.totals(scope, whole),
            await ledger.periods(scope, list(pairwise(bounds))),
            await ledger.periods(scope, list(pairwise(bounds)), "k1", "chat"),
            await ledger.series(scope, whole, "hour", ZoneInfo("Asia/Kathmandu")),
            await ledger.breakdowns(scope, whole, ("key", "route", "meter", "status")),
            await ledger.latency(scope, UsageQuery(bounds[1], bounds[-2])),
            await ledger.refusals(scope, whole),
        ]
    for start_us, end_us in pairwise(bounds):
        arguments = ("acme", "calls", start_us, end_us)
        total = await ledger.quota_sums(PLATFORM, *arguments)
        assert sum(units for _, units in await ledger.quota_rows(PLATFORM, *arguments)) == total
        assert sum(one[3] for one in await ledger.quota_use(PLATFORM, *arguments, summed=True)) == total
        found += [total, await ledger.quota_sums(PLATFORM, *arguments, "k1", ("chat",))]
        async with store.database.read() as connection:
            span = Span(start_us, end_us)
            for mark in watermarks:
                found.append(await units_until(connection, PLATFORM, ["acme", "beta"], span, mark, False))
                found.append(await late_since(connection, PLATFORM, "acme", span, mark) is None)
    assert await ledger.rollup_differences(PLATFORM) == []
    sums = await ledger.incarnation_sums(PLATFORM)
    assert [one for one in sums if one.difference] == []
    found.append(sorted((one.incarnation, one.rows, one.distinct) for one in sums))
    return json.dumps(found, default=asdict, sort_keys=True)


async def prune_somewhat(store: Store, rng: random.Random, instants: list[int], watermarks: list[int]) -> int:
    """A turn of the job: for some tenants, up to some time and posting, in transactions of any size."""
    taken = 0
    for tenant in rng.sample(["acme", "beta", ""], rng.randrange(1, 4)):
        before_us = T0 + rng.randrange(0, 30) * QUARTER + rng.randrange(QUARTER)
        posted = rng.choice([None, rng.randrange(1, 200)])
        bounds = Bounds(tenant, before_us, posted, tuple(instants), tuple(watermarks))
        would, _ = await store.ledger.prunable(PLATFORM, bounds)
        done = 0
        while more := await store.ledger.prune(PLATFORM, bounds, NOW, rng.choice([1, 7, 1000])):
            done += more
        assert done >= would  # a part goes once its call's final part went
        taken += done
    return taken


async def compare(straight: Store, pruned: Store, seed: int) -> None:
    rng = random.Random(seed)
    entries = varied(rng, 40) + twins(rng)
    rng.shuffle(entries)
    spools = {name: frames(entries[place::2], name) for place, name in enumerate(("a", "b"))}
    instants = sorted(T0 + rng.randrange(24 * QUARTER) for _ in range(3))
    cursors, watermarks = dict.fromkeys(spools, 0), [rng.randrange(1, 40)]
    while any(cursors[name] < len(spool) for name, spool in spools.items()):
        name = rng.choice([name for name, spool in spools.items() if cursors[name] < len(spool)])
        batch = spools[name][cursors[name] : cursors[name] + rng.randrange(1, 30)]
        for store in (straight, pruned):
            cursors[name] = await store.ledger.post(name, batch)
        if rng.random() < 0.6:
            watermarks = sorted({*watermarks, await straight.ledger.posting_sequence(PLATFORM)})
        if rng.random() < 0.5:
            await prune_somewhat(pruned, rng, instants, watermarks)
        if rng.random() < 0.15:
            assert await answers(pruned, instants, watermarks) == await answers(straight, instants, watermarks)
    for _ in range(3):
        await prune_somewhat(pruned, rng, instants, watermarks)
    for tenant in await pruned.ledger.tenants_before(PLATFORM, T0 + DAY):
        bounds = Bounds(tenant, T0 + DAY, None, tuple(instants), tuple(watermarks))
        while await pruned.ledger.prune(PLATFORM, bounds, NOW):
            pass
    assert await answers(pruned, instants, watermarks) == await answers(straight, instants, watermarks)
    kept = await pruned.ledger.calls(PLATFORM, CallFilter(), 500)
    ended = {one.id for one in entries if isinstance(one, CallRecord) and not one.part}
    assert all(row.part and row.id not in ended for row in kept.rows), "only checkpoints of calls without an end stay"
    in_seals = sum(one.rows for one in await pruned.ledger.sealed(PLATFORM, CallFilter()))
    assert in_seals + len(kept.rows) == await straight.ledger.count_rows(PLATFORM)


def twins(rng: random.Random) -> list[CallRecord]:
    """Long calls with their checkpoints and their end, which come in any order here."""
    found = []
    for _ in range(4):
        first = call(T0 + rng.randrange(20) * QUARTER, part=1)
        first.part_at_us = first.at_us + rng.randrange(4) * QUARTER
        last = call(first.at_us, id=first.id, part_at_us=first.part_at_us + QUARTER)
        found += [first, last]
    return found


@pytest.mark.timeout(1800)
@settings(max_examples=40 if os.environ.get("PROVE") else 3, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_pruning_changes_no_answer(fresh_store, seed: int) -> None:  # type: ignore[no-untyped-def]
    async def run() -> None:
        async with fresh_store() as straight, fresh_store() as pruned:
            await compare(straight, pruned, seed)

    asyncio.run(run())


@pytest.mark.parametrize("seed", range(1, 11 if os.environ.get("PROVE") else 2))
def test_nor_on_postgresql(fresh_store, postgres_url: str, tmp_path: Path, seed: int) -> None:  # type: ignore[no-untyped-def]
    async def run() -> None:
        pruned = await open_store(postgres_url, tmp_path)
        try:
            async with fresh_store() as straight:
                await compare(straight, pruned, seed)
        finally:
            await pruned.close()

    asyncio.run(run())


async def test_a_month_that_is_sealed_gives_its_space_back(postgres_url: str, tmp_path: Path) -> None:
    store = await open_store(postgres_url, tmp_path)
    ledger = store.ledger
    await ledger.post("a", frames([call(T0 + place) for place in range(20)], "a"))
    assert await ledger.release_partitions(PLATFORM, NOW) == []  # it has rows
    assert await ledger.prune(PLATFORM, Bounds("acme", T0 + DAY), NOW) == 20
    assert await ledger.release_partitions(PLATFORM, T0) == []  # the month is not over
    reader = await asyncpg.connect(postgres_url)
    async with reader.transaction():
        await reader.execute("LOCK TABLE calls_2027_01 IN ACCESS SHARE MODE")  # somebody reads for long
        assert await ledger.release_partitions(PLATFORM, NOW) == []
    await reader.close()
    assert await ledger.release_partitions(PLATFORM, NOW) == ["calls_2027_01"]
    assert await ledger.release_partitions(PLATFORM, NOW) == []
    await ledger.post("a", frames([call(T0)], "a", 21))  # a late one still has its place
    assert await ledger.count_calls(Scope("acme")) == 21
    assert await ledger.rollup_differences(PLATFORM) == []
    await store.close()
