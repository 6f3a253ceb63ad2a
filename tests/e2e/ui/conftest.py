"""Chromium before the pages: one browser a test, contexts of any width and scheme."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from playwright.async_api import Browser, async_playwright
from support.ui_world import World, open_world

from gateway.clock import DAY_US, HOUR_US, MINUTE_US, SECOND_US
from gateway.tenants.model import Tenant
from gateway.ui.services import LimitUse

ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
ARGUMENTS += ["--disable-component-update", "--disable-sync"]
LONG_NAME = "Gesellschaft für interoperable Datenverarbeitung mbH & Co KG"
LONG_ID = "gesellschaft-fuer-interoperable-datenverarbeitung-mbh-und-co"
TENANTS = (
    Tenant("acme", "Acme Corp", "pro", timezone="America/New_York"),
    Tenant("globex", "Globex", "free"),
    Tenant(LONG_ID, LONG_NAME, "pro"),
)


@pytest.fixture
async def browser(chromium: str) -> AsyncIterator[Browser]:
    """Debian's Chromium."""
    async with async_playwright() as playwright:
        opened = await playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield opened
        await opened.close()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Three tenants, one with names of 60 characters; no calls."""
    async with open_world(tmp_path, TENANTS) as opened:
        yield opened


async def _fill(world: World, tenant: str) -> None:
    await world.post_calls(tenant, [n * HOUR_US for n in range(0, 700, 2)])
    await world.post_calls(tenant, [n * 7 * HOUR_US + MINUTE_US for n in range(90)], status=404, route="messages")
    await world.post_calls(
        tenant, [n * 11 * HOUR_US for n in range(60)], status=502, outcome="upstream_failed", billable=False
    )
    await world.post_calls(tenant, [SECOND_US], path="/weather?" + "x" * 400, units={"calls": 1, "tokens": 999_999_999})


@pytest.fixture
def fill_world() -> Callable[[World], Awaitable[None]]:
    """Calls of thirty days, and limits that are calm, near, full, and named with 60 characters."""
    return _fill_world


async def _fill_world(world: World) -> None:
    for tenant in TENANTS:
        await _fill(world, tenant.id)
    now = world.clock.now()
    world.limits += [
        LimitUse("monthly", "calls", 824, 1000, "per month", now + 10 * DAY_US, "hard", "tenant", now - 20 * DAY_US),
        LimitUse("burst", "calls", 12, 100, "per minute", now + 40 * SECOND_US, "hard", "key k1"),
        LimitUse("n" * 60, "tokens" * 5, 10**12, 10**12, "per day", now + HOUR_US, "soft", "tenant", now - DAY_US),
        LimitUse("parallel", "calls", 3, 20, "at once", None, "shadow", "tenant"),
    ]
