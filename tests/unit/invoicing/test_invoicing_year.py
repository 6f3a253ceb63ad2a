"""A simulated year: tenants on five plans in five zones, who change, pay late, cancel; usage that comes late; crashes.

``PROVE=1`` runs it with 200 tenants, `make test` with a few. The seed is printed; ``YEAR_SEED`` repeats one.
"""

import os
import random
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from gateway.billing.items import UsageItem, lines_of
from gateway.billing.numbering import check_series
from gateway.ids import uuid7
from gateway.invoicing.changing import Target
from gateway.invoicing.codec import item_from_json
from gateway.invoicing.cycle import FINAL, billed_charges, counted
from gateway.invoicing.loading import load_accounts
from gateway.invoicing.office import InvoiceError
from gateway.invoicing.subscribing import Wish
from gateway.invoicing.subscriptions import BillingDesk
from gateway.metering.ports import Frame, Position
from gateway.metering.record import CallRecord, encode
from gateway.money import Money
from gateway.period import to_us
from gateway.storage import billing_schema as schema
from gateway.storage.billing_values import InvoiceRow, SubscriptionRow
from gateway.storage.ports import PLATFORM
from gateway.tenants.model import Tenant

PROVE = os.environ.get("PROVE") == "1"
TENANTS, DAYS = (200, 365) if PROVE else (10, 120)
ZONES = ("UTC", "America/New_York", "Europe/Berlin", "Asia/Kathmandu", "Australia/Lord_Howe")
PLANS: dict[str, Any] = {
    "graduated": {
        "billing": {"month": {"amount": "99"}, "year": {"amount": "990"}},
        "prices": [{"type": "graduated", "tiers": [{"up_to": 100, "unit": "0"}, {"unit": "0.013"}]}],
    },
    "volume": {"prices": [{"type": "volume", "tiers": [{"up_to": 500, "unit": "0.07"}, {"unit": "0.031"}]}]},
    "package": {
        "billing": {"month": {"amount": "7.77"}},
        "prices": [{"type": "package", "size": 100, "amount": "1.99", "included": 50, "minimum": "3.33"}],
    },
    "discounted": {
        "billing": {"month": {"amount": "19.99"}},
        "trial": "14d",
        "prices": [{"type": "per_unit", "unit": "0.0123", "discount": {"percent": "12.5", "periods": 3}}],
    },
    "free": {},
}


class Crash(Exception):
    """The process is gone."""


class Year:
    """The world that moves around the desk."""

    def __init__(self, bench: Any, seed: int) -> None:
        self.bench, self.random, self.names = bench, random.Random(seed), [f"t{n}" for n in range(TENANTS)]
        self.sequence = 0
        self.desk = BillingDesk(bench.store, lambda: bench.snapshot, bench.clock, self.fault)

    def fault(self, place: str) -> None:
        if self.random.random() < 0.002:
            raise Crash(place)

    async def begin(self) -> None:
        for name in self.names:
            zone, start = self.random.choice(ZONES), date(2025, 1, self.random.randint(1, 31))
            plan = self.random.choice(list(PLANS))
            tenant = Tenant(name, name, plan, timezone=zone, source="store")
            await self.bench.store.tenants.create(PLATFORM, tenant, self.bench.clock.now())
            cycle = "year" if plan == "graduated" and self.random.random() < 0.3 else "month"
            wish = Wish(name, plan, cycle, zone, start, anniversary=self.random.random() < 0.7)
            await self.bench.desk.subscribe(wish, "owner")

    async def usage(self, now: datetime) -> None:
        """A day's calls; some are of days or weeks ago."""
        frames = []
        for name in self.names:
            if self.random.random() < 0.5:
                continue
            late = self.random.choice((0, 0, 0, 0, 0, 2, 20, 45))
            at_us = to_us(now - timedelta(days=late, seconds=self.random.randint(0, 86_399)))
            units, self.sequence = {"calls": self.random.randint(1, 200)}, self.sequence + 1
            record = CallRecord(
                id=uuid7(at_us), at_us=at_us, tenant=name, route="api", method="GET", path="/", status=200,
                outcome="ok", units=units, quota_units=units, counted=True, billable=True,
            )  # fmt: skip
            frames.append(Frame(Position("year", self.sequence), encode(record)))
        if frames:
            await self.bench.store.ledger.post("year", frames)

    async def people(self) -> None:
        """Some change, some cancel or pause, most pay."""
        for name in self.names:
            dice = self.random.random()
            try:
                if dice < 0.01:
                    when = self.random.choice(("now", "next_invoice", "period_end"))
                    await self.bench.desk.change(name, Target(self.random.choice(list(PLANS))), "owner", when)
                elif dice < 0.013:
                    await self.bench.desk.change(name, Target(quantity=self.random.randint(1, 5)), "owner")
                elif dice < 0.0135:
                    await self.bench.desk.cancel(name, "owner", now=self.random.random() < 0.5)
            except InvoiceError:
                continue
        for row in await self.bench.desk.invoices(PLATFORM, state="open", limit=1000):
            if self.random.random() < 0.2:
                await self.bench.desk.pay(row.id, "bank")

    async def job(self) -> None:
        while True:
            try:
                await self.desk.run()
            except Crash:
                continue
            return


@pytest.mark.timeout(3600 if PROVE else 180)
async def test_a_year_bills_every_call_once(bench: Any) -> None:
    seed = int(os.environ.get("YEAR_SEED") or random.randrange(1 << 30))
    print(f"YEAR_SEED={seed}")
    bench.configure(plans=PLANS, tenants={})
    year, start = Year(bench, seed), datetime(2025, 1, 1, tzinfo=UTC)
    await year.begin()
    for day in range(DAYS):
        now = start + timedelta(days=day, hours=year.random.randint(0, 23))
        bench.clock.now_us = to_us(now)
        await year.usage(now)
        await year.people()
        await year.job()
    bench.clock.now_us = to_us(start + timedelta(days=DAYS + 40))
    await year.job()
    await check_books(bench)


async def check_books(bench: Any) -> None:
    """No gap, no overlap, no duplicate; every invoice verifies; the sum of invoices is the ledger rated again."""
    async with bench.store.billing.read(PLATFORM) as books:
        invoices = await books.find(InvoiceRow, order=(schema.invoices.c.start_us,))
        accounts = await load_accounts(books, await books.find(SubscriptionRow))
    assert not check_series(row.sequence for row in invoices if row.sequence)
    for row in invoices:
        verification = await bench.desk.verify(PLATFORM, row.id)
        assert verification.holds, (row.id, row.reason, verification.faults)
    for account in accounts:
        mine = [row for row in invoices if row.subscription == account.row.id]
        cycles = [row for row in mine if row.reason == "cycle"]
        assert all(before.end_us == after.start_us for before, after in pairwise(cycles))
        if cycles:
            assert (cycles[0].start_us, cycles[-1].end_us) == (account.begins_us, account.unbilled_us)
        async with bench.store.billing.read(PLATFORM) as books:
            billed = await billed_charges(books, account, [row.id for row in mine if row.state in FINAL])
            for row in (row for row in cycles if row.state in FINAL and row is not cycles[-1]):
                for stored in row.document["items"]:
                    if stored["type"] != "usage":
                        continue
                    item = item_from_json(stored)
                    assert isinstance(item, UsageItem)
                    assert account.watermark is not None
                    again: dict[str, Money] = {}
                    for one in lines_of(await counted(books, row.tenant, item, account.watermark)):
                        again[one.charge] = again.get(one.charge, Money.zero(row.currency)) + one.line.amount
                    for charge, amount in again.items():
                        assert billed[charge].amount == amount.amount, (row.id, charge)
