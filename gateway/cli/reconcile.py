"""Frames, rows, rollups, invoices and counters compared; exit 1 when any differ."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.common import DEFAULT_CONFIG, EXIT_FAILED, ConfigOption, JsonOption, print_json, print_table, say

if TYPE_CHECKING:
    from gateway.cli.reading import Reading
    from gateway.counters.mmap_store import MmapCounterStore
    from gateway.counters.redis_desk import RedisDesk
    from gateway.runtime.reconciliation import Report

ATTEMPTS = 3
PAUSE_S = 0.3
SHOWN = 50


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("reconcile", help=__doc__)(reconcile)


def reconcile(
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
    repair: Annotated[
        bool, typer.Option(help="Set counters that differ to the ledger's sums, and compare again.")
    ] = False,
    invoice_days: Annotated[
        int | None,
        typer.Option(min=0, help="Compare invoices whose period ended in the last so many days (45); 0: all."),
    ] = None,
) -> None:
    from gateway.cli.reading import read

    report = read(config, lambda reading: settle(reading, repair=repair, invoice_days=invoice_days))
    if as_json:
        print_json(report_json(report))
    else:
        _print(report)
    if report.difference:
        raise typer.Exit(EXIT_FAILED)


async def settle(reading: "Reading", *, repair: bool = False, invoice_days: int | None = None) -> "Report":
    """Compare, and again when something differs: a call that was open for long may have ended. What stays differs,
    unless it is to be repaired and can be.
    """
    from gateway.runtime.reconciliation import INVOICE_DAYS, Reconciliation

    days = INVOICE_DAYS if invoice_days is None else invoice_days
    snapshot, counters = reading.snapshot, open_counters(reading)
    comparing = Reconciliation(snapshot, reading.store, reading.spool, snapshot.data_dir, counters, days)
    try:
        for _ in range(ATTEMPTS):
            report = await comparing.report()
            if not report.difference:
                break
            await asyncio.sleep(PAUSE_S)
        if repair and (mended := comparing.repair()):
            say(f"set to the ledger's sums: {mended:,} counters")
            report = await comparing.report()
        return report
    finally:
        if counters is not None:
            counters.close()


def open_counters(reading: "Reading") -> "MmapCounterStore | RedisDesk | None":
    """The host's counters; None when no gateway has made them yet."""
    from gateway.runtime import counting, paths

    shared = counting.redis_address(reading.snapshot) is not None
    made = shared or paths.counters_file(reading.snapshot).exists()
    return counting.open_desk(reading.snapshot, patient=True) if made else None


def report_json(report: "Report") -> dict[str, object]:
    """A report for programs."""
    from dataclasses import asdict

    from gateway.cli.reading import rfc3339

    known = rfc3339(report.complete_until_us) if report.complete_until_us else None
    return {"difference": report.difference, "complete_until": known} | {
        "unshipped": report.unshipped,
        "silent_hosts": [{"host": one.host, "reported": rfc3339(one.reported_us)} for one in report.silent],
        "checks": [asdict(check) for check in report.checks],
    }


def _print(report: "Report") -> None:
    from gateway.cli.reading import rfc3339

    rows = [
        (check.name, f"{check.compared:,}", f"{sum(abs(one.expected - one.found) for one in check.differences):,}")
        for check in report.checks
    ]
    print_table(("check", "compared", "difference"), rows, right=("compared", "difference"))
    found = [one for check in report.checks for one in check.differences]
    for one in found[:SHOWN]:
        say(f"{one.where}: expected {one.expected:,}, found {one.found:,}")
    if len(found) > SHOWN:
        say(f"and {len(found) - SHOWN:,} more")
    for host in report.silent:
        say(f"host {host.host} (its data_dir/host_id) is silent since {rfc3339(host.reported_us)}")
    known = rfc3339(report.complete_until_us) if report.complete_until_us else "never: nothing was shipped yet"
    say(f"difference {report.difference:,}; complete until {known}; {report.unshipped:,} entries wait in the spool")
