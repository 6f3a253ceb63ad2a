"""SQLite and PostgreSQL give the same books for the same history: every column and document, byte by byte, but for ids
that are random.

``PROVE=1`` takes many histories.
"""

import asyncio
import os
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from support.billing_bench import Bench, opened

from gateway.billing.invoice import InvoiceTransitionError
from gateway.invoicing.changing import Target
from gateway.invoicing.office import InvoiceError
from gateway.storage.ports import PLATFORM

EXAMPLES = 40 if os.environ.get("PROVE") == "1" else 2
TABLES = {
    "subscriptions": "tenant, start_us",
    "subscription_phases": "tenant, start_us",
    "invoices": "tenant, start_us, reason, created_us, sequence",
    "invoice_lines": "tenant, charge, place, exact, amount, quantity",
    "pending_items": "tenant, created_us",
    "payments": "tenant, at_us",
    "credits": "tenant, created_us, amount",
    "credit_notes": "tenant, at_us",
    "audit": "id",
    "plan_versions": "key, ordinal",
    "series": "name",
}
ID = re.compile(r"\b(inv|sub|crd|itm|pay|crn|drw)_[a-z2-7]{26}\b")
TENANTS = {
    "acme": {"plan": "pro", "start": "2025-01-31", "billing_cycle": "month", "timezone": "America/New_York"},
    "year": {"plan": "pro", "start": "2025-01-10", "billing_cycle": "year", "timezone": "Asia/Kathmandu"},
    "vole": {"plan": "volume", "start": "2025-01-01", "timezone": "Europe/Berlin"},
}
TAX = {"tax": {"region": "eu", "rates": {"eu": [{"name": "VAT", "percent": "19"}]}}}

names = st.sampled_from(sorted(TENANTS))
steps = st.one_of(
    st.tuples(st.just("call"), names, st.integers(0, 40), st.integers(1, 90_000)),
    st.tuples(st.just("change"), names, st.sampled_from(["free", "pro", "volume"]),
              st.sampled_from(["now", "next_invoice", "period_end"])),
    st.tuples(st.just("seats"), names, st.integers(1, 4)),
    st.tuples(st.sampled_from(["pause", "resume", "cancel", "grant", "calculate"]), names),
    st.tuples(st.sampled_from(["pay", "part", "void", "note"]), st.integers(0, 5)),
)  # fmt: skip
histories = st.lists(st.tuples(st.integers(0, 20), steps), min_size=6, max_size=16)


async def live(bench: Bench, history: list[tuple[int, tuple[Any, ...]]]) -> None:
    """A history: after some days, something happens; the job runs."""
    bench.configure(tenants={name: {k: v for k, v in own.items() if k != "plan"} | {"plan": own["plan"]}
                             for name, own in TENANTS.items()}, billing=TAX)  # fmt: skip
    await bench.load()
    await bench.execute("UPDATE tenants SET source = 'store'")  # what people do is theirs, not the configuration's
    now = datetime(2025, 1, 2, 12, tzinfo=UTC)
    for days, (what, *rest) in history:
        now += timedelta(days=days, minutes=1)
        await bench.at(now.replace(tzinfo=None).isoformat())
        try:
            await step(bench, now, what, rest)
        except (InvoiceError, InvoiceTransitionError):
            continue
    await bench.at((now + timedelta(days=35)).replace(tzinfo=None).isoformat())


async def step(bench: Bench, now: datetime, what: str, rest: list[Any]) -> None:
    desk = bench.desk
    match what, rest:
        case "call", [name, late, units]:
            at = max(now - timedelta(days=late), datetime(2025, 1, 1, tzinfo=UTC))
            await bench.call(name, at.replace(tzinfo=None).isoformat(), units)
        case "change", [name, plan, when]:
            await desk.change(name, Target(plan), "owner", when)
        case "seats", [name, seats]:
            await desk.change(name, Target(quantity=seats), "owner")
        case "pause" | "resume" as move, [name]:
            await getattr(desk, move)(name, "owner")
        case "cancel", [name]:
            await desk.cancel(name, "owner")
        case "calculate", [name]:
            await desk.calculate(PLATFORM, name, "owner")
        case "grant", [name]:
            await desk.grant(name, Decimal(25), "USD", "owner", "kindness")
        case other, [place]:
            rows = sorted(
                await desk.invoices(PLATFORM, limit=100),
                key=lambda row: (row.sequence or 1 << 62, row.tenant, row.created_us, row.id),
            )
            row = rows[place % len(rows)]
            if other == "pay":
                await desk.pay(row.id, "bank")
            elif other == "part":
                await desk.pay(row.id, "bank", amount=Decimal(1))
            elif other == "void":
                await desk.void(row.id, "owner", reissue=True)
            else:
                await desk.credit_note(row.id, "owner", "sorry")


async def books(bench: Bench) -> list[str]:
    """Every row of billing as text; ids are named by where they are seen first."""
    known: dict[str, str] = {}

    def told(value: Any) -> str:
        text = str(int(value)) if isinstance(value, bool) else str(value)
        return ID.sub(lambda id: known.setdefault(id[0], f"{id[1]}-{len(known)}"), text)

    found = []
    for table, order in TABLES.items():
        columns = [row[0] for row in await bench.raw(COLUMNS[bench.url.startswith("sqlite")].format(table=table))]
        columns = sorted(columns, key=lambda name: (name != "tenant", name))
        quoted = ", ".join(f'"{name}"' for name in columns)
        rows = await bench.raw(f"SELECT {quoted} FROM {table} ORDER BY {order}")
        # A void invoice and the one in its place have the same lines: what is equal for an engine has no order there.
        found += sorted(f"{table} " + " | ".join(told(value) for value in row) for row in rows)
    return found


COLUMNS = {
    True: "SELECT name FROM pragma_table_info('{table}')",
    False: "SELECT column_name FROM information_schema.columns WHERE table_name = '{table}'",
}


@pytest.mark.timeout(900 if EXAMPLES > 10 else 180)
def test_both_engines_keep_the_same_books(postgres_server: Any, postgres_template: str) -> None:
    histories_seen = invoices = 0

    async def one(history: list[tuple[int, tuple[Any, ...]]]) -> None:
        nonlocal histories_seen, invoices
        name = f"alike_{os.getpid()}_{histories_seen}"
        url = postgres_server.create_database(name, postgres_template)
        try:
            with TemporaryDirectory() as folder:
                async with opened(Path(folder)) as lite, opened(Path(folder), url) as great:
                    for bench in (lite, great):
                        await live(bench, history)
                    told = await books(lite)
                    assert told == await books(great)
        finally:
            postgres_server.drop_database(name)
        histories_seen += 1
        invoices += sum(line.startswith("invoices ") for line in told)

    @settings(max_examples=EXAMPLES, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(histories)
    def run(history: list[tuple[int, tuple[Any, ...]]]) -> None:
        asyncio.run(one(history))

    run()
    print(f"proof: {histories_seen} histories, {invoices} invoices: the same books on SQLite and PostgreSQL")
    assert invoices
