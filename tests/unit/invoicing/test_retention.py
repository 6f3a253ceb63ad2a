"""Pruning under invoices: what is not finally invoiced stays, and every invoice is rated again to the same amount."""

import random
from typing import Any

from gateway.clock import DAY_US
from gateway.invoicing.changing import Target
from gateway.invoicing.retention import RetentionDesk
from gateway.storage.account_values import UsageEvent
from gateway.storage.ports import PLATFORM, Scope
from gateway.storage.values import CallFilter

SUM, MAX, LATEST, UNIQUE = "sum", "max", "latest", "unique"


def retention(bench: Any) -> RetentionDesk:
    return RetentionDesk(bench.store, bench.clock)


async def verified(bench: Any, tenant: str) -> list[str]:
    """The totals of all invoices, each rated again."""
    totals = []
    for row, lines in await bench.invoices(tenant):
        if row.state != "draft":
            verification = await bench.desk.verify(PLATFORM, row.id)
            assert verification.holds, verification.faults
        totals.append(
            f"{row.start_us} {row.state} {row.total} {[(one.kind, one.quantity, one.amount) for one in lines]}"
        )
    return totals


async def test_what_is_not_finally_invoiced_stays(bench: Any) -> None:
    for day in ("2025-01-05", "2025-02-05", "2025-02-25"):
        await bench.call("vole", f"{day}T10:00:00")
    await bench.at("2025-02-01T00:30:00")  # January is a draft
    assert [(one.calls, one.held) for one in await retention(bench).run(0)] == [(0, True)]
    bench.clock.now_us += 40 * DAY_US
    (found,) = await retention(bench).run(10 * DAY_US)
    assert (found.tenant, found.calls, found.held) == ("vole", 0, True)
    await bench.at("2025-03-13T00:00:00")  # January and February are final
    (would,) = await retention(bench).run(20 * DAY_US, dry=True)
    assert (would.calls, would.held) == (2, False)
    assert (await retention(bench).run(20 * DAY_US))[0] == would
    rows = (await bench.store.ledger.calls(Scope("vole"))).rows
    assert len(rows) == 1
    assert await bench.store.ledger.count_calls(Scope("vole")) == 3
    assert sum(one.rows for one in await bench.store.ledger.sealed(Scope("vole"), CallFilter())) == 2
    assert await bench.store.ledger.sealed(Scope("acme"), CallFilter()) == []
    await verified(bench, "vole")


async def test_a_year_pruned_every_month_bills_as_one_that_is_not(bench: Any, second: Any) -> None:
    """Changes of plan within a quarter hour, calls around them, and late ones into sealed quarter hours."""
    rng, pruned = random.Random(7), 0
    months = [f"2025-{month:02}" for month in range(1, 13)]
    for place, month in enumerate(months):
        calls = [
            (f"{month}-{day:02}T10:{minute:02}:{rng.randrange(60):02}", 50) for day in (3, 12) for minute in (3, 8)
        ]
        if place >= 2:  # late, for a cycle that is final and, in one of the two, sealed
            calls += [(f"{months[place - 2]}-12T10:07:{rng.randrange(60):02}", 40 + place)]
        for side in (bench, second):
            await side.at(f"{month}-12T10:07:33")
            if place == 1:
                await side.desk.change("vole", Target("pro"), "owner", by_config=True)
            for at, units in calls:
                await side.call("vole", at, units)
            await side.at(f"{month}-28T00:00:00")
        pruned += sum(one.calls for one in await retention(bench).run(20 * DAY_US))
        assert await verified(bench, "vole") == await verified(second, "vole")
    assert pruned > 30
    for side in (bench, second):
        await side.at("2026-03-02T00:00:00")
    await retention(bench).run(DAY_US)
    assert await verified(bench, "vole") == await verified(second, "vole")
    assert any("correction" in total for total in await verified(bench, "vole"))
    assert await bench.store.ledger.rollup_differences(PLATFORM) == []
    assert (await bench.store.ledger.calls(Scope("vole"))).rows == ()


async def test_events_keep_their_sums_and_are_repeats_for_ever(bench: Any) -> None:
    now_us, day_us, values = bench.clock.now_us, DAY_US, (5, 9, 2, 7)
    batch = [
        UsageEvent(
            bytes([place]) * 16, "nobody", meter, now_us + place % 4 * 1000, values[place % 4],
            f"user {place % 3}" if meter == UNIQUE else "", "t", "s", str(place), "",
        )
        for place, meter in enumerate(name for name in (SUM, MAX, LATEST, UNIQUE) for _ in range(4))
    ]  # fmt: skip
    aggregates: dict[str, Any] = {name: name for name in (SUM, MAX, LATEST, UNIQUE)} | {"count": "count"}
    events, scope = bench.store.events, Scope("nobody")
    assert await events.post(PLATFORM, batch[:-1], now_us) == set()
    before = await events.quantities(scope, aggregates, "nobody", 0, now_us + day_us)
    assert before == {SUM: 23, MAX: 9, LATEST: 7, UNIQUE: 3}
    bench.clock.now_us += 60 * day_us
    (found,) = await retention(bench).run(40 * day_us)
    assert (found.calls, found.events) == (0, 15)
    assert await events.quantities(scope, aggregates, "nobody", 0, now_us + day_us) == before
    assert await events.quantities(scope, aggregates, "nobody", 0, now_us) == {}
    assert await events.post(PLATFORM, batch, bench.clock.now_us) == set(range(15))  # the last one is new, and late
    assert await events.quantities(scope, aggregates, "nobody", 0, now_us + day_us) == before
    assert (await retention(bench).run(40 * day_us))[0].events == 1
    assert await events.quantities(scope, aggregates, "nobody", 0, now_us + day_us) == before
