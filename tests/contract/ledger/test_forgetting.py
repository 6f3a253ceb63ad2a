"""What every ledger promises of pruning and erasure, on each engine."""

from support.records import T0, call, frames

from gateway.storage.erasing import Erased
from gateway.storage.ledger import Ledger
from gateway.storage.ports import PLATFORM, Scope, UsageQuery
from gateway.storage.sealing import Bounds
from gateway.storage.values import CallFilter

QUARTER = 900_000_000
DAY = UsageQuery(T0, T0 + 96 * QUARTER)
PERSONAL = {"path": "/people/ann", "address": "192.0.2.1", "address_hash": b"\1" * 16, "request_id": "ann-1"}


async def test_erasure_blanks_and_removes_nothing(ledger: Ledger) -> None:
    mine = [call(T0 + place * QUARTER, **PERSONAL) for place in range(5)]
    await ledger.post("a", frames([*mine, call(tenant="beta", **PERSONAL)], "a"))
    before = await ledger.totals(PLATFORM, DAY), await ledger.count_calls(PLATFORM)
    end = T0 + 4 * QUARTER
    assert (await ledger.erase(Scope("beta"), "acme", end)).rows == 0  # not theirs
    assert await ledger.erase(Scope("acme"), "acme", end, at_once=3) == Erased(3, T0 + 2 * QUARTER)
    assert await ledger.erase(Scope("acme"), "acme", end, T0 + 2 * QUARTER, 3) == Erased(1, T0 + 3 * QUARTER)
    assert (await ledger.erase(Scope("acme"), "acme", end, T0 + 3 * QUARTER, 3)).rows == 0
    for row in (await ledger.calls(PLATFORM)).rows:
        erased = row.tenant == "acme" and row.at_us < T0 + 4 * QUARTER
        for name, value in PERSONAL.items():
            assert getattr(row, name) == (type(value)() if erased else value), name
        assert (row.status, row.units, row.key, row.route) == (200, {"calls": 1}, "k1", "weather")
    assert (await ledger.totals(PLATFORM, DAY), await ledger.count_calls(PLATFORM)) == before
    assert await ledger.rollup_differences(PLATFORM) == []


async def test_calls_of_no_tenant_are_erased_too(ledger: Ledger) -> None:
    await ledger.post("a", frames([call(tenant="", key="", **PERSONAL), call(**PERSONAL)], "a"))
    assert (await ledger.erase(Scope("acme"), "", T0 + QUARTER)).rows == 0  # not a tenant's affair
    assert (await ledger.erase(Scope(""), "", T0 + QUARTER)).rows == 1
    assert {row.tenant: row.path for row in (await ledger.calls(PLATFORM)).rows} == {"": "", "acme": "/people/ann"}


async def test_a_seal_stands_for_its_rows_and_late_ones_come_beside_it(ledger: Ledger) -> None:
    await ledger.post("a", frames([call(T0), call(T0 + 1), call(T0 + QUARTER, status=500, billable=False)], "a"))
    before = await ledger.totals(PLATFORM, UsageQuery(T0, T0 + 96 * QUARTER))
    bounds = Bounds("acme", T0 + 2 * QUARTER - 1)  # the quarter hour under way stays
    assert await ledger.prunable(PLATFORM, bounds) == (2, 0)
    assert await ledger.prune(PLATFORM, bounds, T0, 1) == 1
    assert await ledger.prune(PLATFORM, bounds, T0) == 1
    assert await ledger.prune(PLATFORM, bounds, T0) == 0
    assert await ledger.totals(PLATFORM, DAY) == before
    assert [(one.start_us, one.rows) for one in await ledger.sealed(PLATFORM, CallFilter())] == [(T0, 2)]
    assert await ledger.sealed(Scope("beta"), CallFilter()) == []
    await ledger.post("a", frames([call(T0 + 5, units={"calls": 7})], "a", 4))
    assert (await ledger.totals(PLATFORM, DAY)).units == {"calls": 9}
    assert await ledger.count_calls(PLATFORM) == 4
    assert await ledger.count_calls(Scope("beta")) == 0
    assert await ledger.quota_sums(PLATFORM, "acme", "calls", T0, T0 + QUARTER) == 9
    assert await ledger.rollup_differences(PLATFORM) == []
    assert [one.difference for one in await ledger.incarnation_sums(PLATFORM)] == [0]


async def test_a_call_counts_by_its_end_wherever_it_is(ledger: Ledger) -> None:
    """Parts in the ledger, the end in the spool: one call, at the time of its end."""
    begun, open_call = call(T0, part=1, part_at_us=T0 + 60), call(T0, part=1, part_at_us=T0 + 60)
    await ledger.post("a", frames([begun, open_call], "a"))
    early, late = CallFilter(until_us=T0 + 100), CallFilter(since_us=T0 + 100)
    assert await ledger.count_calls(PLATFORM, early) == 2
    assert await ledger.count_calls(PLATFORM, early, (), {begun.id}) == 1
    assert await ledger.count_calls(PLATFORM, late, {begun.id}, {begun.id}) == 1
    assert await ledger.count_calls(PLATFORM, CallFilter(), {begun.id, open_call.id, b"3" * 16}, {begun.id}) == 3
    await ledger.post("a", frames([call(T0, id=begun.id, part_at_us=T0 + 200)], "a", 3))
    assert await ledger.count_calls(PLATFORM, early) == 1
    assert await ledger.count_calls(PLATFORM, late, {begun.id}, {begun.id}) == 1  # shipped meanwhile
