"""Any order, duplication and lateness of batches gives the same rows, rollups and totals (issue: the ledger)."""

import asyncio
import itertools
import json
import random
from collections import Counter
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st
from support.records import T0, call, frames, varied

from gateway.metering.record import CallRecord, SpoolEntry
from gateway.storage.ledger import Ledger
from gateway.storage.ports import PLATFORM, Scope, UsageQuery

QUARTER = 900_000_000
WHOLE = UsageQuery(T0 - QUARTER, T0 + 86_400_000_000)


async def everything(ledger: Ledger) -> str:
    """All that can be read, but for the order of posting."""
    series = await ledger.series(PLATFORM, WHOLE, "hour", ZoneInfo("Asia/Kathmandu"))
    parts = [await ledger.breakdown(PLATFORM, WHOLE, by=by) for by in ("key", "route", "meter", "status")]
    found = [
        await ledger.totals(PLATFORM, WHOLE),
        await ledger.totals(Scope("acme"), WHOLE),
        series,
        parts,
        await ledger.top_tenants(PLATFORM, WHOLE),
        await ledger.latency(PLATFORM, WHOLE),
        await ledger.refusals(PLATFORM, WHOLE),
        sorted(await ledger.ids(PLATFORM)),
    ]
    return json.dumps(found, default=repr)


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**32), count=st.integers(1, 80))
def test_any_delivery_gives_one_ledger(fresh_store, seed: int, count: int) -> None:  # type: ignore[no-untyped-def]
    rng = random.Random(seed)
    entries = varied(rng, count)
    spools = {name: frames(entries[place::3], name) for place, name in enumerate(("a", "b", "c"))}

    async def deliver() -> None:
        async with fresh_store() as straight, fresh_store() as wild:
            for name, spool in spools.items():
                if spool:
                    await straight.ledger.post(name, spool)
            cursors = dict.fromkeys(spools, 0)
            while any(cursors[name] < len(spool) for name, spool in spools.items()):
                name = rng.choice([name for name, spool in spools.items() if spool])
                spool = spools[name]
                start = rng.choice([cursors[name], rng.randrange(len(spool))])  # right, late or early
                batch = spool[start : start + rng.randrange(1, 12)]
                if batch:
                    cursors[name] = await wild.ledger.post(name, batch)
            assert await everything(wild.ledger) == await everything(straight.ledger)
            assert await wild.ledger.rollup_differences(PLATFORM) == []
            assert [one.difference for one in await wild.ledger.incarnation_sums(PLATFORM) if one.difference] == []

    asyncio.run(deliver())


def naive(entries: list[SpoolEntry], scope: Scope, query: UsageQuery) -> tuple[int, int, dict[str, int], int]:
    calls = billable = sent = 0
    units: Counter[str] = Counter()
    for one in entries:
        if not isinstance(one, CallRecord) or not query.start_us <= (one.part_at_us or one.at_us) < query.end_us:
            continue
        if (scope.tenant or one.tenant) != one.tenant or (query.route or one.route) != one.route:
            continue
        if (query.key or one.key) != one.key:
            continue
        calls += one.part == 0
        billable += one.part == 0 and one.billable
        sent += one.response_bytes
        if one.billable:
            units.update({meter: n for meter, n in one.units.items() if n})
    return calls, billable, dict(units), sent


@settings(max_examples=12, deadline=None)
@given(data=st.data(), seed=st.integers(0, 2**32))
def test_sums_equal_the_rows_of_any_period(fresh_store, data: st.DataObject, seed: int) -> None:  # type: ignore[no-untyped-def]
    entries = varied(random.Random(seed), 150)
    instants = st.integers(-QUARTER, 7 * 3600 * 1_000_000).map(lambda offset: T0 + offset)
    aligned = st.integers(-1, 28).map(lambda quarters: T0 + quarters * QUARTER)
    on_a_call = st.sampled_from([one.at_us for one in entries if isinstance(one, CallRecord)])
    queries = data.draw(
        st.lists(
            st.builds(
                UsageQuery,
                instants | aligned | on_a_call,
                instants | aligned | on_a_call,
                st.sampled_from(["", "k1"]),
                st.sampled_from(["", "chat"]),
            ),
            min_size=1,
            max_size=8,
        )
    )

    async def compare() -> None:
        async with fresh_store() as store:
            ledger = store.ledger
            await ledger.post("a", frames(entries, "a"))
            for query in queries:
                for scope in (PLATFORM, Scope("acme")):
                    expected = naive(entries, scope, query)
                    totals = await ledger.totals(scope, query)
                    found = (totals.calls, totals.billable, totals.units, totals.response_bytes)
                    assert found == expected, query
                    series = await ledger.series(scope, query)
                    assert sum(one.calls for one in series) == expected[0]
                    assert sum(await ledger.latency(scope, query)) == expected[0]
                    for by in ("key", "route", "status"):
                        assert sum(one.calls for one in await ledger.breakdown(scope, query, by=by)) == expected[0]
                await compare_quota(ledger, query)

    async def compare_quota(ledger: Ledger, query: UsageQuery) -> None:
        key, routes = query.key or None, (query.route,) if query.route else ()
        expected = sum(
            one.quota_units.get("calls", 0)
            for one in entries
            if isinstance(one, CallRecord)
            and one.counted
            and one.tenant == "acme"
            and query.start_us <= one.at_us < query.end_us
            and (key or one.key) == one.key
            and (not routes or one.route in routes)
        )
        arguments = ("acme", "calls", query.start_us, query.end_us, key, routes)
        assert await ledger.quota_sums(PLATFORM, *arguments) == expected
        assert sum(units for _, units in await ledger.quota_rows(PLATFORM, *arguments)) == expected
        for summed in (True, False):
            used = await ledger.quota_use(PLATFORM, *arguments[:4], summed=summed)
            mine = [one for one in used if (key or one[0]) == one[0] and (not routes or one[1] in routes)]
            assert sum(units for *_, units in mine) == expected

    asyncio.run(compare())


@settings(max_examples=10, deadline=None)
@given(data=st.data(), seed=st.integers(0, 2**32))
def test_days_taken_apart_are_the_rows_of_any_periods(fresh_store, data: st.DataObject, seed: int) -> None:  # type: ignore[no-untyped-def]
    """Over a week, sums of days are added and quarter hours taken away from them: what is left is what the rows say."""
    rng = random.Random(seed)
    entries = [one for one in varied(rng, 60) if isinstance(one, CallRecord)]
    for one in entries:
        shift = rng.randrange(7 * 96) * QUARTER
        one.at_us, one.part_at_us = one.at_us + shift, one.part_at_us + shift if one.part_at_us else 0
    bounds = st.integers(-100, 800).map(lambda quarters: T0 + quarters * QUARTER)
    ragged = st.integers(-QUARTER, 8 * 96 * QUARTER).map(lambda offset: T0 + offset)
    instants = sorted(data.draw(st.lists(bounds | ragged, min_size=2, max_size=9, unique=True)))
    spans = list(itertools.pairwise(instants))
    key, route = data.draw(st.sampled_from(["", "k1"])), data.draw(st.sampled_from(["", "chat"]))
    zone = ZoneInfo(data.draw(st.sampled_from(["UTC", "Asia/Kathmandu", "Pacific/Auckland", "America/St_Johns"])))

    async def compare() -> None:
        async with fresh_store() as store:
            await store.ledger.post("a", frames(entries, "a"))
            for scope in (PLATFORM, Scope("acme")):
                found = await store.ledger.periods(scope, spans, key, route)
                assert [(one.start_us, one.end_us) for one in found] == spans
                for one in found:
                    query = UsageQuery(one.start_us, one.end_us, key, route)
                    expected = naive(list(entries), scope, query)
                    assert (one.calls, one.billable, one.units, one.response_bytes) == expected
                whole = UsageQuery(instants[0], instants[-1], key, route)
                days = await store.ledger.series(scope, whole, "day", zone)
                by = await store.ledger.breakdowns(scope, whole, ("route", "key", "status", "meter"))
                expected = naive(list(entries), scope, whole)
                for sums in (days, *by[:3]):
                    assert sum(one.calls for one in sums) == expected[0]
                    assert sum(one.response_bytes for one in sums) == expected[3]
                assert {one.name: one.units[one.name] for one in by[3]} == expected[2]
                for day in days:
                    within = UsageQuery(max(day.start_us, whole.start_us), min(day.end_us, whole.end_us), key, route)
                    assert (day.calls, day.units) == naive(list(entries), scope, within)[0:3:2]
                by_status = await store.ledger.latencies(scope, whole, "status")
                assert {name: sum(histogram) for name, histogram in by_status.items()} == {
                    one.name: one.calls for one in by[2] if one.calls
                }

    asyncio.run(compare())


def test_a_call_of_a_tenants_own_address_only(fresh_store) -> None:  # type: ignore[no-untyped-def]
    async def compare() -> None:
        async with fresh_store() as store:
            await store.ledger.post("a", frames([call(address_hash=b"1"), call(address_hash=b"2")], "a"))
            query = ("acme", "calls", T0, T0 + QUARTER)
            assert await store.ledger.quota_sums(PLATFORM, *query, address=b"1") == 1
            assert await store.ledger.quota_sums(PLATFORM, *query) == 2
            assert await store.ledger.active_scopes(PLATFORM, T0 + 5) == [("acme", "k1", "weather")]

    asyncio.run(compare())
