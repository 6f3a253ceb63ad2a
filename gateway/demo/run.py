"""The demo from start to end: prepare its data, start its API, run the gateway over both, print the card when ready."""

import asyncio
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from gateway.clock import SystemClock
from gateway.config.loader import load
from gateway.config.snapshot import Snapshot
from gateway.demo.api_process import running_api
from gateway.demo.card import Card, render
from gateway.demo.home import DemoHome, open_home
from gateway.demo.overrides import (
    PAIRS,
    api_overrides,
    data_overrides,
    free_pair,
    port_overrides,
    split_upstream,
    tenant_overrides,
)
from gateway.demo.prepare import Prepared, prepare
from gateway.demo.stories import FREE, NEARLY_FULL, NEARLY_FULL_PERCENT, PAYING, TENANTS
from gateway.period import add_months, from_us
from gateway.quotas.limit import DurationWindow
from gateway.runtime import data_dir
from gateway.runtime.sockets import PortTaken
from gateway.runtime.supervisor import Supervisor

WEATHER = "/v1/weather?city=Oslo"
SETTINGS = "demo.json"
DAYS_SINCE_INVOICE = 4
COMMANDS = "commands.yaml"

Say = Callable[[str], None]


def run_demo(config: Path | None, visitor_url: str | None, scale: int, say: Say, show: Say) -> int:
    """Run until Ctrl-C; returns the exit code. ``say`` talks to the person, ``show`` prints the card.

    Raises ``ConfigError``, ``AlreadyRunning``, ``PortTaken`` when no pair of ports is free, and ``GatewayError``.
    """
    if visitor_url is not None:
        split_upstream(visitor_url)  # refused before anything is written
    home = open_home(config)
    data_dir.prepare(home.folder)
    lock = data_dir.DataDirLock(home.folder)
    try:
        overrides = data_overrides(home) | _scale_overrides(home, scale) | _billing_overrides(home)
        snapshot = load(home.config, os.environ, overrides)
        prepared = asyncio.run(prepare(home, snapshot, say))
    finally:
        lock.release()
    with running_api() as api_url:
        overrides |= api_overrides(snapshot, api_url, visitor_url)
        return _serve(home, snapshot, overrides, prepared, visitor_url, say, show)


def _serve(
    home: DemoHome,
    snapshot: Snapshot,
    overrides: dict[str, object],
    prepared: Prepared,
    visitor_url: str | None,
    say: Say,
    show: Say,
) -> int:
    wanted = snapshot.server
    skip = 0
    while True:
        data, control = free_pair(wanted.listen, wanted.control, skip)
        skip = (data.port - wanted.listen.port) // 2 + 1
        if data != wanted.listen:
            say(f"Port {wanted.listen.port} or {wanted.control.port} is taken; using {data.port} and {control.port}.")
        path = split_upstream(visitor_url)[1] if visitor_url else WEATHER

        def ready(now: Snapshot, path: str = path) -> None:
            # JSON is YAML: with this file, other commands find the demo's data (gateway calls -c …).
            home.write(COMMANDS, now.source)
            show(render(_card(home, now, prepared, path)))

        try:
            return Supervisor(home.config, overrides=overrides | port_overrides(data, control), on_ready=ready).run()
        except PortTaken:  # somebody took it between our look and the gateway's
            if skip >= PAIRS:
                raise


def _card(home: DemoHome, snapshot: Snapshot, prepared: Prepared, path: str) -> Card:
    limits = [limit for limit in snapshot.plans[snapshot.tenants[FREE].plan].limits if limit.meter == "calls"]
    minute = next((limit.max for limit in limits if limit.window == DurationWindow(60_000_000)), None)
    public = snapshot.server.public_url
    names = {tenant: snapshot.tenants[tenant].name for tenant in TENANTS}
    return Card(
        tenant=names[FREE],
        key=prepared.keys[FREE][0].text,
        url=f"http://{snapshot.server.listen}{path}",
        limit=f" with {minute} calls a minute" if minute is not None else "",
        try_calls=(minute or 10) + 2,
        portal=f"{public}/login/link?token={prepared.portal_token}",
        admin=f"{public}/login/link?token={prepared.admin_token}",
        others=(
            (f"{names[NEARLY_FULL]}, at {NEARLY_FULL_PERCENT} % of its month", prepared.keys[NEARLY_FULL][0].text),
            (f"{names[PAYING]}, with an open bill", prepared.keys[PAYING][0].text),
        ),
        plans=home.plans,
    )


def _billing_overrides(home: DemoHome) -> dict[str, object]:
    """The paying tenant has been a customer for a month and some days, so that its last month's invoice is open.

    The day is remembered: a subscription keeps its anchor.
    """
    settings = home.read(SETTINGS) or {}
    if "customer_since" not in settings:
        today = from_us(SystemClock().now()).date()
        settings["customer_since"] = (add_months(today, -1) - timedelta(days=DAYS_SINCE_INVOICE)).isoformat()
        home.write(SETTINGS, settings)
    return {f"tenants.{PAYING}.start": settings["customer_since"]}


def _scale_overrides(home: DemoHome, scale: int) -> dict[str, object]:
    """``scale`` tenants in all; remembered, because a tenant that is gone from the configuration is closed."""
    settings = home.read(SETTINGS) or {}
    kept = settings.get("scale", 0)
    if scale > kept:
        home.write(SETTINGS, settings | {"scale": scale})
    return tenant_overrides(max(scale, kept) - len(TENANTS), ("free", "pro", "payg"))
