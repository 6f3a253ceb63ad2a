"""CPU per proxied GET of the gateway beside its peers: interleaved rounds, medians, whole process trees.

``python benchmarks/proxy/run.py --rounds 5``. CPU is user plus system time from /proc/<pid>/stat, so that a busy
machine changes little; each contender runs one worker. ``serve`` is a whole ``gateway serve``: ``serve`` counts all its
processes until the last call is in the ledger, ``serve: worker`` the worker alone. With ``PROVE=1`` every contender
must be there and the ratios asked for must hold (``scripts/prove proxy-cost``).
"""

import argparse
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import contenders as field

NAMES = ["worker", "serve", "nginx", "nginx+lua", "haproxy", "caddy", "fastify", "fastify+keys"]
# The ratios asked for: (whose, of whose, at most)
REQUIRED = [
    ("worker", "nginx+lua", 2.0),
    ("serve", "nginx+lua", 2.5),
    ("worker", "caddy", 0.5),
]
SHOWN = [("worker", "nginx+lua", 1.5), ("worker", "fastify", 1 / 3), ("worker", "fastify+keys", 1 / 3)]


def drive(contender, connections, requests, keys, rate=0):
    options = (contender.port, connections, requests, keys, *([rate] if rate else []))
    load = [sys.executable, field.HERE / "load.py", *map(str, options)]
    done = subprocess.run(load, capture_output=True, text=True, env=field.ENVIRONMENT)
    if done.returncode:
        raise SystemExit(f"{contender.name}: {done.stderr[-500:]}")
    count, p50, p99, seconds = done.stdout.split()
    return int(count), int(p50), int(p99), float(seconds)


def one_round(contender, arguments, results):
    workers = contender.worker_pids()
    before, before_all = field.cpu_seconds(workers), field.cpu_seconds(contender.pids())
    count, p50, p99, seconds = drive(contender, arguments.connections, arguments.requests, arguments.keys)
    worker_us = (field.cpu_seconds(workers) - before) / count * 1e6
    contender.settle()
    all_us = (field.cpu_seconds(contender.pids()) - before_all) / count * 1e6
    results.setdefault(contender.name, []).append((all_us, p50, p99, count / seconds))
    if contender.name == "serve":
        results.setdefault("serve: worker", []).append((worker_us, p50, p99, count / seconds))


def median_of(rounds):
    return [statistics.median(column) for column in zip(*rounds[1:], strict=True)]


def judge(results, paced, rate):
    """Print the figures of the proof; whether what is required holds."""
    cpu = {name: median_of(rounds)[0] for name, rounds in results.items()}
    rounds = len(next(iter(results.values()))) - 1
    figures = ", ".join(f"{name} {figure:.1f}" for name, figure in cpu.items())
    print(f"proof: µs CPU a request, medians of {rounds} rounds: {figures}")
    held = True
    for whose, of, most in REQUIRED + SHOWN:
        ratio, required = cpu[whose] / cpu[of], (whose, of, most) in REQUIRED
        held = held and (ratio <= most or not required)
        verdict = "holds" if ratio <= most else "MISSED"
        print(f"proof: {whose} {ratio:.2f} of {of}'s ({'required' if required else 'target'} {most:.2f}): {verdict}")
    for name, taken in paced.items():
        print(f"proof: {name} at {rate}/s: p50 {median_at(taken, 0):.0f} µs, p99 {median_at(taken, 1):.0f} µs")
    return held


def median_at(rows, place):
    return statistics.median(row[place] for row in rows)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", default=NAMES)
    parser.add_argument("--rounds", type=int, default=5, help="after one that warms up")
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--keys", type=int, default=1)
    parser.add_argument("--limits", type=int, default=3)
    parser.add_argument("--routes", type=int, default=1)
    parser.add_argument("--rate", type=int, default=0, help="also p99 of an open loop at so many requests a second")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="bench-proxy-"))
    upstream, upstream_process = field.start_upstream()
    running, results, paced = [], {}, {}
    try:
        for name in arguments.names:
            if not field.installed(name):
                if os.environ.get("PROVE"):
                    raise SystemExit(f"{name} is not installed: scripts/peers")
                print(f"{name}: not installed, left out", file=sys.stderr)
                continue
            running.append(
                field.start(name, folder, upstream, keys=arguments.keys, limits=arguments.limits,
                            routes=arguments.routes)
            )  # fmt: skip
        print(f"Python {platform.python_version()} ({sys.executable}), load {os.getloadavg()[0]:.1f} at the start")
        for number in range(arguments.rounds + 1):
            for contender in running:
                one_round(contender, arguments, results)
                if arguments.rate and number:
                    took = drive(contender, arguments.connections, arguments.rate * 2, arguments.keys, arguments.rate)
                    paced.setdefault(contender.name, []).append(took[1:3])
        reference = median_of(results["nginx+lua"])[0] if "nginx+lua" in results else None
        print(f"{'':14} µs CPU a request   of nginx+lua   p50 µs   p99 µs   requests/s")
        for name, rounds in results.items():
            cpu, p50, p99, rate = median_of(rounds)
            spread = f"{min(row[0] for row in rounds[1:]):.1f}-{max(row[0] for row in rounds[1:]):.1f}"
            ratio = f"{cpu / reference:6.2f}" if reference else "     -"
            print(f"{name:14} {cpu:7.1f} ({spread:>11}) {ratio:>12} {p50:10.0f} {p99:8.0f} {rate:10.0f}")
        for name, rounds in paced.items():
            print(
                f"{name:14} at {arguments.rate}/s: p50 {median_at(rounds, 0):.0f} µs, p99 {median_at(rounds, 1):.0f} µs"
            )
        if os.environ.get("PROVE") and not judge(results, paced, arguments.rate):
            raise SystemExit("a ratio that is required was missed")
    finally:
        for contender in running:
            contender.stop()
        upstream_process.terminate()
        upstream_process.wait()
        if os.environ.get("KEEP"):
            print(folder, file=sys.stderr)
        else:
            shutil.rmtree(folder, ignore_errors=True)


main()
