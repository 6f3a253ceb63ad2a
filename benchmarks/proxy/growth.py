"""What size costs: CPU per GET and memory with one key, and with 100,000 keys, 10,000 tenants and 1,000 routes.

``python benchmarks/proxy/growth.py``. Keys are drawn at random over 32 connections. The first call of each key makes
its counters and is counted apart; then come calls of keys that were seen before. nginx + Lua, which looks up as many
keys and counts as many limits, shows what of it is the machine's: memory that lies outside the caches. With
``PROVE=1`` the figures are those of a proof, and growing more than nginx + Lua does is a failure (ADR-0003).
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
PEER = "nginx+lua"
NOISE = 0.05  # of a ratio of two ratios, each of medians


def drive(port, requests, keys, order=""):
    load = [sys.executable, field.HERE / "load.py", str(port), "32", str(requests), str(keys), "0", order]
    subprocess.run([part for part in load if part], check=True, capture_output=True, env=field.ENVIRONMENT)


def rounds(running, count=6, requests=20_000):
    """The median CPU of a call, in µs, by contender and size: interleaved, the first round left out."""
    results = {which: [] for which in running}
    for _ in range(count):
        for which, contender in running.items():
            before = field.cpu_seconds(contender.pids())
            drive(contender.port, requests, which[1][0])
            results[which].append((field.cpu_seconds(contender.pids()) - before) / requests * 1e6)
    return {which: statistics.median(figures[1:]) for which, figures in results.items()}


def main():
    folder = Path(tempfile.mkdtemp(prefix="bench-growth-"))
    upstream, upstream_process = field.start_upstream()
    say = "proof: " if os.environ.get("PROVE") else ""
    names = ["worker"] + [PEER] * field.installed(PEER)
    if say and PEER not in names:
        raise SystemExit(f"{PEER} is not there: scripts/peers")
    running = {}
    try:
        for name in names:
            for size in (SMALL, LARGE):
                place = folder / f"{name}-{size[0]}"
                place.mkdir()
                running[name, size] = field.start(name, place, upstream, keys=size[0], routes=size[1])
        time.sleep(1)
        large = running["worker", LARGE]
        small_bytes, large_bytes = (field.resident_bytes(running["worker", size].pids()) for size in (SMALL, LARGE))
        print(f"{say}memory before any call: {(large_bytes - small_bytes) / LARGE[0]:.0f} bytes a key")
        for name in names:
            contender = running[name, LARGE]
            before = field.cpu_seconds(contender.pids())
            drive(contender.port, LARGE[0], LARGE[0], "once")
            first = (field.cpu_seconds(contender.pids()) - before) / LARGE[0] * 1e6
            print(f"{say}{name}: the first call of a key {first:.1f} µs CPU")
        after = field.resident_bytes(large.pids())
        print(f"{say}memory when each key was used: {(after - small_bytes) / LARGE[0]:.0f} bytes a key")
        cost = rounds(running)
        growth = {name: cost[name, LARGE] / cost[name, SMALL] for name in names}
        for name in names:
            print(
                f"{say}{name}: one key {cost[name, SMALL]:.1f} µs CPU a request; 100,000 keys drawn: "
                f"{cost[name, LARGE]:.1f} µs ({growth[name] - 1:+.0%})"
            )
        if PEER in names:
            ratios = [cost["worker", size] / cost[PEER, size] for size in (SMALL, LARGE)]
            print(f"{say}the worker's CPU is {ratios[0]:.2f} of {PEER}'s with one key, {ratios[1]:.2f} with 100,000")
            if say and ratios[1] > ratios[0] * (1 + NOISE):
                raise SystemExit(f"it grows more than {PEER} does")
    finally:
        for contender in running.values():
            contender.stop()
        upstream_process.terminate()
        upstream_process.wait()
        shutil.rmtree(folder, ignore_errors=True)


main()
