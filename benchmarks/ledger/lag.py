"""How far the ledger is behind while a gateway proxies all it can.

``python benchmarks/ledger/lag.py [REQUESTS]`` (default 100,000): one worker and 32 clients, SQLite. Twenty times a
second the newest row that is in the ledger is read; the lag is its age, so it holds the call's own duration too. Then
how long the last call took to be there. Exits 1 when the ledger was ever a second behind.
"""

import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "proxy"))
import contenders as field

WARM_UP = 5_000
EVERY_S = 0.05


def load(port: int, requests: int) -> subprocess.Popen[bytes]:
    """Clients that never wait."""
    command = [sys.executable, str(field.HERE / "load.py"), str(port), "32", str(requests), "1"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, env=field.ENVIRONMENT)


def rows(file: sqlite3.Connection) -> int:
    return int(file.execute("SELECT coalesce(max(posting), 0) FROM calls").fetchone()[0])


def watch(file: sqlite3.Connection, running: subprocess.Popen[bytes]) -> list[float]:
    """Seconds behind, sampled until the load ends; the first second fills the pipe."""
    lags, begun = [], time.time()
    while running.poll() is None:
        (at_us,) = file.execute("SELECT at_us FROM calls ORDER BY posting DESC LIMIT 1").fetchone()
        if time.time() - begun > 1:
            lags.append(time.time() - at_us / 1e6)
        time.sleep(EVERY_S)
    return lags


def main(requests: int) -> int:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        upstream, upstream_process = field.start_upstream()
        contender = field.start("serve", folder, upstream)
        try:
            load(contender.port, WARM_UP).wait()
            contender.settle()
            with closing(sqlite3.connect(folder / "serve" / "gateway.db", isolation_level=None)) as file:
                before, begun = rows(file), time.time()
                lags = watch(file, load(contender.port, requests))
                ended = time.time()
                while rows(file) < before + requests:
                    time.sleep(0.01)
                last = time.time() - ended
        finally:
            contender.stop()
            upstream_process.terminate()
            upstream_process.wait()
    print(
        f"proof: at {requests / (ended - begun):,.0f} calls a second the ledger was behind by "
        f"{statistics.median(lags):.2f} s (median), {max(lags):.2f} s (longest); the last call was there {last:.2f} s "
        "after the clients' end"
    )
    return int(max(lags) >= 1)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000))
