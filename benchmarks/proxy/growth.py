"""What size costs: CPU per GET and memory with one key, and with 100,000 keys, 10,000 tenants and 1,000 routes.

``python benchmarks/proxy/growth.py``. Keys are drawn at random over 32 connections. The first call of each key makes
its counters and is counted apart; then come calls of keys that were seen before. With ``PROVE=1`` the figures are
those of a proof, and more than 10 % is a failure (``scripts/prove growth``).
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import contenders as field

SMALL, LARGE = (1, 1), (100_000, 1_000)


def drive(port, requests, keys, order=""):
    load = [sys.executable, field.HERE / "load.py", str(port), "32", str(requests), str(keys), "0", order]
    subprocess.run([part for part in load if part], check=True, capture_output=True, env=field.ENVIRONMENT)


def main():
    folder = Path(tempfile.mkdtemp(prefix="bench-growth-"))
    upstream, upstream_process = field.start_upstream()
    running = {}
    try:
        for size in (SMALL, LARGE):
            place = folder / str(size[0])
            place.mkdir()
            running[size] = field.start("worker", place, upstream, keys=size[0], routes=size[1])
        time.sleep(1)
        resident = {size: field.resident_bytes(contender.pids()) for size, contender in running.items()}
        say = "proof: " if os.environ.get("PROVE") else ""
        print(f"{say}memory before any call: {(resident[LARGE] - resident[SMALL]) / LARGE[0]:.0f} bytes a key")
        large = running[LARGE]
        before = field.cpu_seconds(large.pids())
        drive(large.port, LARGE[0], LARGE[0], "once")
        print(f"{say}first call of a key: {(field.cpu_seconds(large.pids()) - before) / LARGE[0] * 1e6:.1f} µs CPU")
        after = field.resident_bytes(large.pids())
        print(f"{say}memory when each key was used: {(after - resident[SMALL]) / LARGE[0]:.0f} bytes a key")
        results = {SMALL: [], LARGE: []}
        for _ in range(6):
            for size, contender in running.items():
                before = field.cpu_seconds(contender.pids())
                drive(contender.port, 20_000, size[0])
                results[size].append((field.cpu_seconds(contender.pids()) - before) / 20_000 * 1e6)
        small, big = (statistics.median(results[size][1:]) for size in (SMALL, LARGE))
        print(f"{say}one key: {small:.1f} µs CPU a request; 100,000 keys drawn: {big:.1f} µs ({big / small - 1:+.0%})")
        if say and big > 1.1 * small:
            raise SystemExit("more than 10 % more")
    finally:
        for contender in running.values():
            contender.stop()
        upstream_process.terminate()
        upstream_process.wait()
        shutil.rmtree(folder, ignore_errors=True)


main()
