"""How commands reach the desk: configuration and store opened, work done, store closed."""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TypeVar, cast

from pydantic_core import PydanticCustomError

from gateway.cli.common import EXIT_USAGE, fail
from gateway.clock import SystemClock
from gateway.config.loader import load
from gateway.config.price_schema import exact_decimal
from gateway.config.stored_plans import with_plans
from gateway.invoicing.following import BillingDesk
from gateway.invoicing.forms import Form, render_invoice, render_note
from gateway.invoicing.office import NotFound
from gateway.invoicing.settings import BillingSettings
from gateway.invoicing.shapes import invoice_json, note_json
from gateway.invoicing.verifying import Verification
from gateway.storage.ports import PLATFORM, Scope
from gateway.storage.store import open_store

Result = TypeVar("Result")
PAGE = 500


def at_desk(config: Path, work: Callable[[BillingDesk], Awaitable[Result]]) -> Result:
    """Do ``work`` at a desk over the configuration's store. Tenants of the files are taken into the store first."""

    async def run() -> Result:
        snapshot = load(config, os.environ)
        store = await open_store(snapshot.store_url, snapshot.folder)
        clock = SystemClock()
        try:
            await store.tenants.sync_yaml(PLATFORM, list(snapshot.tenants.values()), snapshot.keys, clock.now())
            whole = with_plans(snapshot, await store.plans.current(PLATFORM))
            return await work(BillingDesk(store, lambda: whole, clock))
        finally:
            await store.close()

    return asyncio.run(run())


async def verify_all(desk: BillingDesk, invoice: str) -> list[Verification]:
    """One invoice, or every one that is final."""
    if invoice:
        return [await desk.verify(PLATFORM, invoice)]
    found: list[Verification] = []
    after: str | None = None
    while rows := await desk.invoices(PLATFORM, limit=PAGE, after=after):
        found += [await desk.verify(PLATFORM, row.id) for row in rows if row.state != "draft"]
        after = rows[-1].id
    return found


def moment(text: str) -> datetime:
    """An instant as people write it, UTC unless stated; leaves with a word when it is none."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        fail(f"{text}: expected a date such as 2026-11-01 or a time such as 2026-11-01T10:00:00Z", EXIT_USAGE)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def decimal(option: str, text: str) -> Decimal:
    """An amount as people write it; leaves with a word when it is none."""
    try:
        return exact_decimal(text)
    except PydanticCustomError as error:
        fail(f"{option}: {error.message()}", EXIT_USAGE)


async def rendered(desk: BillingDesk, scope: Scope, id: str, form: str) -> tuple[bytes, tuple[str, ...]]:
    """An invoice or credit note in one of its forms, and what there is to be said about it."""
    fonts = BillingSettings.of(desk.snapshot()).fonts if form == "pdf" else ()
    try:
        row, lines = await desk.invoice(scope, id)
    except NotFound:
        note, row = await desk.note(scope, id)
        if form == "json":
            return json.dumps(note_json(note), ensure_ascii=False, indent=2).encode(), ()
        found = render_note(note, row, cast(Form, form), fonts)
    else:
        if form == "json":
            return json.dumps(invoice_json(row, lines), ensure_ascii=False, indent=2).encode(), ()
        found = render_invoice(row, lines, cast(Form, form), fonts)
    return found.body, found.warnings
