"""Debt closes the gateway to a tenant and payment opens it again, each within about a second, in real processes."""

import re
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import httpx
from support.process import KEY, GatewayProcess, configuration
from support.upstream import RecordingUpstream

StartGateway = Callable[[dict[str, Any]], GatewayProcess]


def seconds_until(status: int, gateway: GatewayProcess) -> float:
    """How long it took until a call was answered so."""
    start = time.monotonic()
    while time.monotonic() - start < 60:
        if httpx.get(f"{gateway.url}/x", headers={"X-API-Key": KEY}).status_code == status:
            return time.monotonic() - start
        time.sleep(0.02)
    raise AssertionError(f"no {status} within a minute\n{gateway.log[-3000:]}")


def the_invoice(gateway: GatewayProcess) -> str:
    """The number of the only invoice, once it is made."""
    for _ in range(300):
        listed = gateway.command("invoice", "list")
        assert listed.returncode == 0, listed.stderr
        if found := re.search(r"INV-\S+", listed.stdout):
            return found[0]
    raise AssertionError(gateway.log[-3000:])


def test_debt_closes_and_payment_opens(upstream: RecordingUpstream, gateway_process: StartGateway) -> None:
    document = configuration(upstream.url)
    document["plans"]["basic"]["billing"] = {"month": {"amount": "10"}}
    gateway = gateway_process(document)
    seconds_until(200, gateway)
    number = the_invoice(gateway)
    # Weeks pass: what is due lies long ago, and the job is to look again.
    (file,) = gateway.folder.rglob("gateway.db")
    with closing(sqlite3.connect(file, timeout=30)) as database, database:
        database.execute("UPDATE invoices SET due_us = 1")
        database.execute("UPDATE subscriptions SET next_us = 1")
    suspended = seconds_until(403, gateway)
    paid = gateway.command("invoice", "pay", number)
    assert paid.returncode == 0, paid.stderr
    opened = seconds_until(200, gateway)
    paused = gateway.command("subscriptions", "pause", "acme")
    assert paused.returncode == 0, paused.stderr
    closed = seconds_until(403, gateway)
    resumed = gateway.command("subscriptions", "resume", "acme")
    assert resumed.returncode == 0, resumed.stderr
    reopened = seconds_until(200, gateway)
    print(f"proof: overdue: closed within {suspended:.2f} s; paid: open within {opened:.2f} s")
    print(f"proof: paused: closed within {closed:.2f} s; resumed: open within {reopened:.2f} s")
