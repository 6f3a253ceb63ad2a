"""What every ledger promises: batches once, in order, whole; bad entries aside; sums equal to the rows."""

import logging

import pytest
from support.records import T0, call, frames

from gateway.errors import GatewayError
from gateway.metering.ports import Frame, Position
from gateway.metering.record import RefusalCount
from gateway.storage.ledger import Ledger
from gateway.storage.ports import PLATFORM, Scope, UsageQuery
from gateway.storage.values import CallFilter

QUARTER = 900_000_000
DAY = UsageQuery(T0, T0 + 86_400_000_000)


async def test_a_batch_moves_the_cursor_and_is_readable(ledger: Ledger) -> None:
    assert await ledger.post("h-0-a", frames([call(), call(tenant="beta")])) == 2
    assert await ledger.cursors(PLATFORM) == {"h-0-a": 2}
    assert await ledger.posting_sequence(PLATFORM) == 2
    assert (await ledger.totals(Scope("acme"), DAY)).calls == 1
    assert (await ledger.totals(PLATFORM, DAY)).units == {"calls": 2}


async def test_a_record_reads_back_as_it_was(ledger: Ledger) -> None:
    record = call(
        part=2,
        upstream="u",
        target="http://h:1",
        path="/ä/☃",
        outcome="client_left",
        quota_units={"calls": 1, "tokens": 9},
        not_billable="why",
        ttfb_us=7,
        attempts=3,
        address="::1",
        address_hash=b"\0\xff",
        request_id="r",
        plan="abc",
        flags=5,
        part_at_us=T0 + 60_000_000,
    )
    await ledger.post("h-0-a", frames([record]))
    (row,) = await ledger.call(PLATFORM, record.id)
    for name in record.__struct_fields__:
        assert getattr(row, name) == getattr(record, name), name
    assert await ledger.call(Scope("beta"), record.id) == []


async def test_a_batch_behind_its_cursor_is_skipped_whole(ledger: Ledger) -> None:
    batch = frames([call() for _ in range(6)])
    await ledger.post("h-0-a", batch[:4])
    for late in (batch[:4], batch[:2], batch[2:6], batch[3:4], batch[5:]):
        assert await ledger.post("h-0-a", late) == 4
    assert await ledger.count_calls(PLATFORM) == 4
    assert await ledger.post("h-0-a", batch[4:]) == 6


async def test_incarnations_are_apart(ledger: Ledger) -> None:
    await ledger.post("h-0-a", frames([call()]))
    await ledger.post("h-1-b", frames([call(), call()], "h-1-b"))
    assert await ledger.cursors(PLATFORM) == {"h-0-a": 1, "h-1-b": 2}


async def test_a_broken_batch_is_the_callers_fault(ledger: Ledger) -> None:
    batch = frames([call(), call(), call()])
    for wrong in ([batch[0], batch[2]], [batch[1], batch[0]]):
        with pytest.raises(GatewayError, match="out of order"):
            await ledger.post("h-0-a", wrong)
    with pytest.raises(GatewayError, match="out of order"):
        await ledger.post("h-0-b", batch)


async def test_poison_goes_to_quarantine_and_the_rest_is_posted(
    ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    good = call()
    entries = [
        call(units={"calls": -1}),
        call(units={"tokens": 2**63}),
        call(id=b"short"),
        call(at_us=-1, id=bytes(16)),
        call(path="nul\0"),
        call(status=-200),
        call(response_bytes=10**16),
        good,
    ]
    batch = frames(entries)
    torn = Frame(Position("h-0-a", 9), batch[7].payload[:-3])
    gibberish = Frame(Position("h-0-a", 10), b"\xc1\xff")
    batch += [torn, gibberish, Frame(Position("h-0-a", 11), batch[7].payload)]
    with caplog.at_level(logging.ERROR, "gateway"):
        assert await ledger.post("h-0-a", batch) == 11
    assert await ledger.ids(PLATFORM) == {good.id}
    held = await ledger.quarantined(PLATFORM)
    assert [one.first for one in held] == [1, 2, 3, 4, 5, 6, 7, 9, 10, 11]
    assert "refused by the ledger" in held[-1].reason  # frame 11 is the same call as frame 8
    assert len(caplog.records) == 10
    assert (await ledger.totals(PLATFORM, UsageQuery(0, T0 * 2))).units == {"calls": 1}
    (sums,) = await ledger.incarnation_sums(PLATFORM)
    assert (sums.sequence, sums.calls, sums.quarantined, sums.difference) == (11, 1, 10, 0)
    assert await ledger.rollup_differences(PLATFORM) == []


async def test_one_call_twice_is_kept_once_across_batches(ledger: Ledger) -> None:
    record = call()
    await ledger.post("h-0-a", frames([record]))
    assert await ledger.post("h-1-b", frames([call(), record, call()], "h-1-b")) == 3
    assert await ledger.count_calls(PLATFORM) == 3
    assert [(one.incarnation, one.first) for one in await ledger.quarantined(PLATFORM)] == [("h-1-b", 2)]
    assert await ledger.rollup_differences(PLATFORM) == []


async def test_a_lost_stretch_is_skipped_and_remembered(ledger: Ledger) -> None:
    await ledger.post("h-0-a", frames([call()]))
    assert await ledger.skip("h-0-a", 3, 9, "lost") == 1
    assert await ledger.skip("h-0-a", 2, 9, "lost") == 9
    assert await ledger.skip("h-0-a", 2, 9, "lost") == 9
    assert await ledger.post("h-0-a", frames([call()], first=10)) == 10
    (held,) = await ledger.quarantined(PLATFORM)
    assert (held.first, held.last) == (2, 9)
    assert (await ledger.incarnation_sums(PLATFORM))[0].difference == 0


async def test_refusals_add_up(ledger: Ledger) -> None:
    one = RefusalCount(minute_us=T0, tenant="acme", key="k1", route="weather", code="limit", status=429, count=2)
    other = RefusalCount(minute_us=T0, tenant="acme", code="unknown_key", status=401, count=5)
    await ledger.post("h-0-a", frames([one, one, other]))
    await ledger.post("h-0-a", frames([one], first=4))
    found = await ledger.refusals(Scope("acme"), DAY)
    assert [(sum.code, sum.status, sum.count) for sum in found] == [("limit", 429, 6), ("unknown_key", 401, 5)]
    assert await ledger.refusals(Scope("beta"), DAY) == []
    assert await ledger.count_calls(PLATFORM) == 0


async def test_parts_of_a_call_are_one_call(ledger: Ledger) -> None:
    long, unfinished = call(units={"tokens": 5}), call(part=1)
    parts = [call(id=long.id, part=n, units={"tokens": 10}, outcome="open") for n in (1, 2)]
    await ledger.post("h-0-a", frames([*parts, long, unfinished, call()]))
    assert await ledger.count_calls(Scope("acme")) == 3
    assert await ledger.count_calls(PLATFORM, also=[long.id, b"x" * 16]) == 4
    totals = await ledger.totals(PLATFORM, DAY)
    assert (totals.calls, totals.units) == (2, {"calls": 2, "tokens": 25})
    assert [row.part for row in await ledger.call(PLATFORM, long.id)] == [0, 1, 2]


async def test_pages_neither_repeat_nor_miss(ledger: Ledger) -> None:
    same_instant = [call(T0 + n // 7) for n in range(50)]
    await ledger.post("h-0-a", frames(same_instant))
    seen: list[bytes] = []
    after: str | None = None
    while True:
        page = await ledger.calls(PLATFORM, limit=7, after=after)
        seen += [row.id for row in page.rows]
        if len(seen) == 14:
            await ledger.post("h-1-b", frames([call(T0 + 99)], "h-1-b"))  # a newer call does not disturb the list
        after = page.next
        if after is None:
            break
    assert len(seen) == 50
    assert set(seen) == {one.id for one in same_instant}


@pytest.mark.parametrize("cursor", ["", "x", "1", "1.2.3", "-1.2", "1.٣", "9" * 60 + ".1", "1.1 OR 1=1"])
async def test_cursors_from_strangers_are_refused(ledger: Ledger, cursor: str) -> None:
    with pytest.raises(GatewayError, match="cursor"):
        await ledger.calls(PLATFORM, after=cursor)


async def test_filters(ledger: Ledger) -> None:
    batch = [call(T0 + n, route=f"r{n % 3}", key=f"k{n % 2}", status=200 + 100 * (n % 4)) for n in range(24)]
    await ledger.post("h-0-a", frames([*batch, call(T0, tenant="beta")]))

    async def count(filter: CallFilter, scope: Scope = Scope("acme")) -> int:
        rows = (await ledger.calls(scope, filter, 100)).rows
        assert await ledger.count_calls(scope, filter) == len(rows)
        return len(rows)

    assert await count(CallFilter()) == 24
    assert await count(CallFilter(route="r1")) == 8
    assert await count(CallFilter(key="k1", status=2)) == 0
    assert await count(CallFilter(status=404)) == 0
    assert await count(CallFilter(status=400)) == 6
    assert await count(CallFilter(status=5)) == 6
    assert await count(CallFilter(since_us=T0 + 4, until_us=T0 + 6)) == 2
    assert await count(CallFilter(outcome="truncated")) == 0
    assert await count(CallFilter(tenant="beta")) == 0
    assert await count(CallFilter(tenant="beta"), PLATFORM) == 1
    assert await count(CallFilter(route="' OR '1'='1")) == 0


async def test_watermarks(ledger: Ledger) -> None:
    assert await ledger.complete_until(PLATFORM) == 0
    await ledger.mark_host(PLATFORM, "one", T0, T0)
    await ledger.mark_host(PLATFORM, "two", T0 + 5, T0 + 6)
    await ledger.mark_host(PLATFORM, "two", T0 + 1, T0 + 7)
    assert await ledger.complete_until(PLATFORM) == T0
    marks = {mark.host: (mark.complete_until_us, mark.reported_us) for mark in await ledger.hosts(PLATFORM)}
    assert marks == {"one": (T0, T0), "two": (T0 + 5, T0 + 7)}
    assert (await ledger.totals(PLATFORM, DAY)).complete_until_us == T0


async def test_a_part_is_billed_in_its_own_time_and_counted_in_the_calls_windows(ledger: Ledger) -> None:
    own = T0 + 3 * QUARTER + 7
    long = call(T0 + 5, part=1, outcome="open", part_at_us=own, units={"tokens": 8}, quota_units={"tokens": 9})
    await ledger.post("h-0-a", frames([long, call(T0 + 6), call(own, units={"tokens": 100})]))
    first, later = UsageQuery(T0, T0 + QUARTER), UsageQuery(T0 + 3 * QUARTER, T0 + 4 * QUARTER)
    assert (await ledger.totals(PLATFORM, first)).units == {"calls": 1}
    assert (await ledger.totals(PLATFORM, later)).units == {"tokens": 108}
    assert (await ledger.totals(PLATFORM, UsageQuery(own, own + 1))).units == {"tokens": 108}
    quota = [
        await ledger.quota_sums(PLATFORM, "acme", "tokens", start, end)
        for start, end in ((T0, T0 + QUARTER), (T0 + 5, T0 + 6), (T0 + 6, own), (T0 + QUARTER, T0 + 4 * QUARTER))
    ]
    assert quota == [9, 9, 0, 100]
    assert await ledger.quota_sums(PLATFORM, "acme", "tokens", T0, T0 + 5) == 0
    assert await ledger.quota_rows(PLATFORM, "acme", "tokens", T0, T0 + QUARTER) == [(T0 + 5, 9)]
    assert await ledger.rollup_differences(PLATFORM) == []
    page = await ledger.calls(PLATFORM, limit=1)
    rest = await ledger.calls(PLATFORM, limit=5, after=page.next)
    assert [row.own_us for row in (*page.rows, *rest.rows)] == [own, own, T0 + 6]
    page = await ledger.calls(PLATFORM, limit=2, oldest_first=True)
    rest = await ledger.calls(PLATFORM, limit=5, after=page.next, oldest_first=True)
    assert [row.own_us for row in (*page.rows, *rest.rows)] == [T0 + 6, own, own]
    assert await ledger.count_rows(PLATFORM) == 3
