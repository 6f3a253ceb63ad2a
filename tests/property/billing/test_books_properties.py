"""What must hold of the books, whatever the order in which calls come in and however often the job runs."""

import asyncio
import os
import random
import tempfile
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from support.billing_bench import Bench, opened

from gateway.billing.numbering import check_series
from gateway.storage.ports import PLATFORM

EXAMPLES = 60 if os.environ.get("PROVE") else 3
MONTHS = (1, 2, 3)
TENANTS = ("acme", "vole")

Post = tuple[str, int, int, int, bool]
"""Tenant, month, day, units, and whether it comes a month late."""

histories = st.lists(
    st.tuples(
        st.sampled_from(TENANTS), st.sampled_from(MONTHS), st.integers(1, 28), st.integers(1, 60_000), st.booleans()
    ),
    min_size=1,
    max_size=12,
)


async def post(bench: Bench, calls: Sequence[Post]) -> None:
    for tenant, month, day, units, _ in calls:
        await bench.call(tenant, f"2025-{month:02d}-{day:02d}T12:00:00", units)


async def live(bench: Bench, history: Sequence[Post], seed: int | None) -> None:
    """Three months and the one after. With a seed, a month's calls come in another order and the job runs often."""
    order = random.Random(seed)
    for month in (*MONTHS, 4):
        due = [one for one in history if (one[1] + 1 if one[4] else one[1]) == month]
        if seed is not None:
            order.shuffle(due)
        await post(bench, due)
        days = sorted(order.sample(range(2, 28), 4)) if seed is not None else []
        for day in (*days, *days[-1:]):
            await bench.at(f"2025-{month:02d}-{day:02d}T12:00:01")
    for day in (1, 2) if seed is None else (1, 2, 2, 3):
        await bench.at(f"2025-05-{day:02d}T12:00:00")


async def monthly(bench: Bench, history: Sequence[Post]) -> None:
    """The job right after every single call."""
    for month in (*MONTHS, 4, 5):
        await bench.at(f"2025-{month:02d}-01T12:00:00")
        for one in history:
            if (one[1] + 1 if one[4] else one[1]) == month:
                await post(bench, [one])
                await bench.desk.run()
    await bench.at("2025-06-01T12:00:00")


async def told(bench: Bench) -> list[Any]:
    """Everything that an invoice says but ids, numbers and the times of its making; and that all is in order."""
    found: list[Any] = []
    sequences: list[int] = []
    for tenant in TENANTS:
        for row, lines in await bench.invoices(tenant):
            said = [(line.charge, line.kind, line.quantity, line.exact, line.amount, line.start_us) for line in lines]
            found.append((tenant, row.reason, row.state, row.start_us, row.end_us, row.total, said))
            sequences += [row.sequence] if row.sequence else []
            assert (await bench.desk.verify(PLATFORM, row.id)).holds
    assert not check_series(sequences)
    return found


async def sums(bench: Bench) -> dict[str, Decimal]:
    found: dict[str, Decimal] = {}
    for tenant in TENANTS:
        rows = [row for row, _ in await bench.invoices(tenant) if row.state != "draft"]
        found[tenant] = sum((Decimal(row.subtotal) for row in rows), Decimal(0))
    return found


@settings(max_examples=EXAMPLES, deadline=None, print_blob=True)
@given(histories, st.integers(0, 1 << 30))
def test_another_order_and_more_runs_change_nothing(history: list[Post], seed: int) -> None:
    async def compare() -> None:
        with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
            async with opened(Path(one)) as first, opened(Path(other)) as second:
                await live(first, history, None)
                await live(second, history, seed)
                before = await told(first)
                assert before == await told(second)
                await first.desk.run()
                await first.desk.run()
                assert await told(first) == before

    asyncio.run(compare())


@settings(max_examples=EXAMPLES, deadline=None, print_blob=True)
@given(histories)
def test_however_usage_trickles_in_the_invoices_sum_up_to_the_same(history: list[Post]) -> None:
    async def compare() -> None:
        with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
            async with opened(Path(one)) as first, opened(Path(other)) as second:
                await live(first, history, None)
                await first.at("2025-06-01T12:00:00")
                await monthly(second, history)
                assert await sums(first) == await sums(second)
                await told(second)

    asyncio.run(compare())
