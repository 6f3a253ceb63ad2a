"""What goes wrong around a running gateway: a small disk, a locked database, damaged bytes; what must hold after."""

import contextlib
import http.client
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.crash import Load, counted_calls, read_ledger
from support.process import GatewayProcess, configuration
from support.services import wait_until
from support.upstream import RecordingUpstream

from gateway.storage.values import CallRow

PROVE = os.environ.get("PROVE") == "1"


def seconds(full: float, reduced: float) -> float:
    """How long a fault lasts: the full figure with PROVE=1."""
    return full if PROVE else reduced


def document(upstream: RecordingUpstream, limits: list[dict[str, Any]], **spool: str) -> dict[str, Any]:
    """A configuration with a small spool."""
    return configuration(upstream.url, limits=limits) | {"spool": spool}


@contextlib.contextmanager
def small_disk(path: Path, size: str) -> Iterator[Path]:
    """A tmpfs mounted at ``path``; skips the test where this process may not mount."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root on Linux")
    path.mkdir(parents=True, mode=0o700)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"no mount here: {done.stderr.strip()}")
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", str(path)], check=False)


@contextlib.contextmanager
def read_only(path: Path) -> Iterator[None]:
    """Nothing new can be made in ``path``; files that are open stay so, as after a disk's remount."""
    subprocess.run(["mount", "--bind", str(path), str(path)], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", str(path)], check=True)
        yield
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


def fill_up(folder: Path) -> Path:
    """Take all that is left of a disk; returns the file that holds it."""
    ballast = folder / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass
    return ballast


@contextlib.contextmanager
def locked(database: Path) -> Iterator[None]:
    """Hold SQLite's write lock from outside."""
    connection = sqlite3.connect(database, timeout=30, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")
        connection.close()


def published(gateway: GatewayProcess, name: str) -> dict[str, Any]:
    """What a process of the gateway published last."""
    with contextlib.suppress(OSError, ValueError):
        return dict(json.loads((gateway.folder / "data" / "run" / f"{name}.json").read_text()))
    return {}


def metric(gateway: GatewayProcess, name: str) -> float:
    """A figure of ``/metrics``."""
    connection = http.client.HTTPConnection(gateway.control, timeout=10)
    connection.request("GET", "/metrics")
    lines = connection.getresponse().read().decode().splitlines()
    connection.close()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.split("{")[0].split(" ")[0] == name)


def readiness(gateway: GatewayProcess) -> tuple[int, dict[str, str]]:
    """``/readyz``: its status and its checks."""
    connection = http.client.HTTPConnection(gateway.control, timeout=30)
    connection.request("GET", "/readyz")
    answer = connection.getresponse()
    checks = json.loads(answer.read())["checks"]
    connection.close()
    return answer.status, checks


def shipped(gateway: GatewayProcess) -> bool:
    """Whether nothing waits in the spool any more."""
    report = gateway.command("reconcile", "--json")
    return report.returncode == 0 and json.loads(report.stdout)["unshipped"] == 0


def exact_after(gateway: GatewayProcess, load: Load, url: str, *, without_record: int = 0) -> list[CallRow]:
    """The load has ended: every answer is one row, the counter is the ledger, all comparisons are zero."""
    wait_until(lambda: shipped(gateway), "the spool shipped and everything equal", 60)
    used = counted_calls(gateway)
    assert gateway.stop() == 0
    rows = read_ledger(gateway, url)
    recorded = {row.request_id for row in rows}
    assert len(rows) == len(recorded) == len({(row.id, row.part) for row in rows})
    assert len(load.delivered - recorded) == without_record, (len(load.delivered - recorded), without_record, len(rows))
    known = load.delivered | {"probe"}
    undelivered = [row for row in rows if row.request_id not in known]
    assert {row.outcome for row in undelivered} <= {"interrupted", "client_left", "ok"}
    assert len(undelivered) <= load.broken
    assert used == sum(row.quota_units.get("calls", 0) for row in rows if row.counted and row.request_id != "probe")
    return rows


def flip_a_bit(segment: Path, within: str) -> None:
    """Damage the record that holds this text."""
    with segment.open("r+b") as file:
        place = file.read().index(within.encode())
        file.seek(place)
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ 4]))


def copy_of(folder: Path, *names: str) -> Path:
    """A backup of some of the data directory, made with the gateway stopped."""
    backup = folder / "backup"
    shutil.rmtree(backup, ignore_errors=True)
    backup.mkdir()
    for name in names:
        source = folder / "data" / name
        if source.is_dir():
            shutil.copytree(source, backup / name)
        elif source.exists():
            shutil.copy2(source, backup / name)
    return backup


def restore(folder: Path, *names: str) -> None:
    """Put back what the backup holds of these, and nothing of what was there since."""
    for name in names:
        target, source = folder / "data" / name, folder / "backup" / name
        shutil.rmtree(target, ignore_errors=True)
        target.unlink(missing_ok=True)
        if source.is_dir():
            shutil.copytree(source, target)
        elif source.exists():
            shutil.copy2(source, target)
