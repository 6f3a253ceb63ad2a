"""Where things lie below the data directory."""

from pathlib import Path

from gateway.config.snapshot import Snapshot


def spool(data: Path) -> Path:
    """The segments of every incarnation."""
    return data / "spool"


def inflight(data: Path) -> Path:
    """The tables of the calls that workers are in the middle of."""
    return data / "inflight"


def run(data: Path) -> Path:
    """What processes publish about themselves while they run."""
    return data / "run"


def host_counters(data: Path) -> Path:
    """The host's own counter file beside a Redis."""
    return data / "counters" / "host"


def counters_file(snapshot: Snapshot) -> Path:
    """The counter file of ``mmap:///folder`` (relative to the configuration's folder; four slashes: absolute)."""
    return snapshot.folder / snapshot.counters_url.removeprefix("mmap:///") / "counters"


def ledger_stamp(snapshot: Snapshot) -> Path:
    """Up to when the ledger was complete when the counters beside it were last in use."""
    return counters_file(snapshot) / "ledger.json"
