"""CPU per proxied GET of a gateway worker beside nginx, interleaved, medians.

``python benchmarks/proxy/run.py --rounds 5``.
CPU is user plus system time of the whole process tree from /proc/<pid>/stat, so that a busy machine changes little.
"""

import argparse
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
TICK = os.sysconf("SC_CLK_TCK")
NGINX = """
worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log {folder}/access.log combined buffer=64k; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  keepalive_requests 100000000;
  upstream up {{ server 127.0.0.1:{upstream}; keepalive 64; keepalive_requests 100000000; }}
  server {{ listen 127.0.0.1:{port};
    location / {{ proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header Host $host;      proxy_set_header X-Forwarded-For $remote_addr; }} }}
}}
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(port):
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise SystemExit(f"nothing listens on {port}")


def tree(pid):
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(grandchild for child in children for grandchild in tree(int(child)))]


def cpu_seconds(pid):
    total = 0
    for process in tree(pid):
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + (0 if os.environ.get("USER_ONLY") else int(fields[12]))
    return total / TICK


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--keys", type=int, default=1)
    parser.add_argument("--limits", type=int, default=3)
    parser.add_argument("--routes", type=int, default=1)
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="bench-proxy-"))
    upstream, ports, processes = free_port(), {}, {}
    started = [subprocess.Popen([sys.executable, HERE / "upstream.py", str(upstream)])]
    try:
        ports["gateway"] = free_port()
        options = [ports["gateway"], upstream, folder, arguments.keys, arguments.limits, arguments.routes]
        processes["gateway"] = subprocess.Popen(
            [sys.executable, HERE / "gateway_worker.py", *map(str, options)], cwd=HERE.parent.parent,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE.parent.parent), *sys.path[1:]])},
        )  # fmt: skip
        if shutil.which("nginx"):
            ports["nginx"] = free_port()
            (folder / "nginx.conf").write_text(NGINX.format(folder=folder, upstream=upstream, port=ports["nginx"]))
            processes["nginx"] = subprocess.Popen(["nginx", "-c", folder / "nginx.conf", "-e", folder / "error.log"])
        started += processes.values()
        for port in ports.values():
            wait_for(port)
        results = {name: [] for name in ports}
        for _ in range(arguments.rounds + 1):
            for name, port in ports.items():
                before = cpu_seconds(processes[name].pid)
                options = (port, arguments.connections, arguments.requests, arguments.keys)
                load = [sys.executable, HERE / "load.py", *map(str, options)]
                count, p50, p99 = subprocess.run(load, check=True, capture_output=True, text=True).stdout.split()
                cpu_us = (cpu_seconds(processes[name].pid) - before) / int(count) * 1e6
                results[name].append((cpu_us, int(p50), int(p99)))
        for name, rounds in results.items():
            cpu, p50, p99 = (statistics.median(column) for column in zip(*rounds[1:], strict=True))
            print(f"{name:8} {cpu:6.1f} µs CPU a request   p50 {p50:.0f} µs   p99 {p99:.0f} µs")
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait()
        shutil.rmtree(folder, ignore_errors=True)


main()
