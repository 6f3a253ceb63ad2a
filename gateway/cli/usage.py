"""What a tenant used in the present period, and up to when that is known."""

from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.common import DEFAULT_CONFIG, ConfigOption, JsonOption, print_json, print_table, say

if TYPE_CHECKING:
    from gateway.cli.reading import Reading
    from gateway.period import Period
    from gateway.tenants.model import Tenant


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("usage", help=__doc__)(usage)


def usage(
    tenant: Annotated[str, typer.Option(help="The tenant's id.")],
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    from gateway.cli.reading import read

    found = read(config, lambda reading: gather(reading, tenant))
    if as_json:
        print_json(found)
    else:
        _print(found)


async def gather(reading: "Reading", id: str) -> dict[str, object]:
    """Usage as JSON shows it. ``behind`` counts this tenant's calls that wait in the spool: not in the sums yet."""
    from gateway.cli.reading import rfc3339
    from gateway.period import to_us
    from gateway.runtime.unshipped import unshipped_calls
    from gateway.storage.ports import PLATFORM, Scope, UsageQuery

    tenant, ledger = await reading.tenant(id), reading.store.ledger
    period = current_period(tenant, reading.now_us)
    query = UsageQuery(to_us(period.start), to_us(period.end))
    cursors = await ledger.cursors(PLATFORM)
    waiting = sum(record.tenant == id for record in unshipped_calls(reading.spool, cursors))
    totals = await ledger.totals(Scope(id), query)
    refused = await ledger.refusals(Scope(id), query)
    complete = totals.complete_until_us
    return {
        "tenant": id,
        "period": {"start": rfc3339(query.start_us), "end": rfc3339(query.end_us)},
        "calls": totals.calls,
        "billable": totals.billable,
        "units": dict(sorted(totals.units.items())),
        "request_bytes": totals.request_bytes,
        "response_bytes": totals.response_bytes,
        "refusals": {refusal.code: refusal.count for refusal in refused},
        "complete_until": rfc3339(complete) if complete else None,
        "behind": waiting,
    }


def current_period(tenant: "Tenant", now_us: int) -> "Period":
    """The month that is metered now: from the subscription's anchor, else of the calendar, in the tenant's zone.

    Usage is billed monthly whatever the subscription's cycle (SEMANTICS §36).
    """
    from datetime import date
    from zoneinfo import ZoneInfo

    from gateway.period import anchored_period, calendar_period, from_us

    zone, now = ZoneInfo(tenant.timezone), from_us(now_us)
    if tenant.anchor:
        return anchored_period(now, "month", date.fromisoformat(tenant.anchor), zone)
    return calendar_period(now, "month", zone)


def _print(found: dict[str, object]) -> None:
    period, units, refusals = found["period"], found["units"], found["refusals"]
    assert isinstance(period, dict)
    assert isinstance(units, dict)
    assert isinstance(refusals, dict)
    say(f"{found['tenant']}: {period['start']} to {period['end']}")
    rows: list[tuple[str, object]] = [("calls", found["calls"]), ("billable calls", found["billable"])]
    rows += [(f"billable units: {meter}", amount) for meter, amount in units.items()]
    rows += [("request bytes", found["request_bytes"]), ("response bytes", found["response_bytes"])]
    rows += [(f"refused: {code}", count) for code, count in refusals.items()]
    print_table(("what", "amount"), [(name, f"{amount:,}") for name, amount in rows], right=("amount",))
    known = found["complete_until"]
    if found["behind"]:
        say(f"behind: {found['behind']} calls wait in the spool and are not in these sums; complete until {known}")
    elif found["calls"]:
        say(f"complete until {known or 'now (posted without a running gateway)'}")
    else:
        say(f"no usage in this period; complete until {known or 'now: no gateway has shipped yet'}")
