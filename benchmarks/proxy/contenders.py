"""What is measured: how each contender is started, and what its whole process tree has used so far.

Contenders that are not installed are left out; ``scripts/peers`` installs them. fastify and http-proxy are looked for
in ``NODE_PATH`` and in ``.cache/peers``.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PEERS = HERE / "peers"
TICK = os.sysconf("SC_CLK_TCK")
NODE_PATH = os.pathsep.join(filter(None, (os.environ.get("NODE_PATH"), str(ROOT / ".cache/peers/node_modules"))))
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join([str(ROOT), *(path for path in sys.path[1:] if path)]),
    "GOMAXPROCS": "1",
    "NODE_PATH": NODE_PATH,
}
SERVE = """
version: 1
server: {{listen: "127.0.0.1:{port}", control: "127.0.0.1:{control}", workers: 1}}
data_dir: {folder}/serve
store: {{url: "sqlite:///{folder}/serve/gateway.db"}}
counters: {{url: "mmap://{folder}/serve/counters"}}
upstreams: {{up: {{targets: ["http://127.0.0.1:{upstream}"]}}}}
routes: {{api: {{match: {{paths: ["/"]}}, upstream: up}}}}
plans:
  p:
    limits:
      - {{name: minute, meter: calls, max: 1000000000, per: minute, by: key, algorithm: sliding}}
      - {{name: day, meter: calls, max: 1000000000, per: day}}
      - {{name: month, meter: calls, max: 1000000000, per: month}}
tenants:
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(port, process):
    for _ in range(600):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        if process.poll() is not None:
            raise SystemExit(f"{process.args} ended with {process.returncode}")
        time.sleep(0.05)
    raise SystemExit(f"nothing listens on {port}")


def tree(pid):
    """A process and all its descendants, of every thread."""
    try:
        threads = list(Path(f"/proc/{pid}/task").iterdir())
        children = [int(child) for thread in threads for child in (thread / "children").read_text().split()]
    except FileNotFoundError:
        return []
    return [pid, *(below for child in children for below in tree(child))]


def cpu_seconds(pids):
    """User and system time, of children that were waited for too."""
    total = 0
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except FileNotFoundError:
            continue
        total += sum(map(int, fields[11:15]))
    return total / TICK


def resident_bytes(pids):
    """Proportional set size: shared pages are counted once."""
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1]) * 1024
    return total


class Contender:
    """One running proxy."""

    def __init__(self, name, port, command, folder):
        self.name, self.port = name, port
        with (folder / f"{name}.log").open("wb") as log:
            self.process = subprocess.Popen(command, env={**ENVIRONMENT, "HOME": str(folder)}, stdout=log, stderr=log)

    def pids(self):
        return tree(self.process.pid)

    def worker_pids(self):
        """The processes that touch the calls; all of them unless it is a whole gateway."""
        found = [pid for pid in self.pids() if b"gateway.runtime.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        return found or self.pids()

    def settle(self):
        """Wait until what runs behind the calls (the shipper) has caught up."""
        if self.name != "serve":
            return
        before = cpu_seconds(self.pids())
        for _ in range(30):
            time.sleep(1)
            now = cpu_seconds(self.pids())
            if now - before < 0.1:
                return
            before = now

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()


def start_upstream(module="upstream.py"):
    port = free_port()
    process = subprocess.Popen([sys.executable, HERE / module, str(port)], env=ENVIRONMENT)
    wait_for(port, process)
    return port, process


def _filled(name, folder, port, upstream, keys):
    text = (PEERS / name).read_text()
    for gap, value in {"folder": folder, "upstream": upstream, "port": port, "keys": keys}.items():
        text = text.replace(f"{{{gap}}}", str(value))
    path = folder / name
    path.write_text(text)
    return path


def _serve_file(folder, port, upstream, keys):
    text = SERVE.format(port=port, control=free_port(), folder=folder, upstream=upstream)
    for tenant in range(max(1, keys // 10)):
        numbers = range(tenant, keys, max(1, keys // 10))
        lines = (f'{{id: k{number}, hash: "sha256:{sha256(b"bench-key-%012d" % number).hexdigest()}"}}'
                 for number in numbers)  # fmt: skip
        text += f"  t{tenant}: {{plan: p, keys: [{', '.join(lines)}]}}\n"
    path = folder / "serve.yaml"
    path.write_text(text)
    return path


def _command(name, folder, port, upstream, keys, limits, routes):
    python = sys.executable
    worker = [port, upstream, folder / name, keys, limits, routes]
    match name:
        case "worker":
            (folder / name).mkdir()
            return [python, HERE / "gateway_worker.py", *map(str, worker)]
        case "serve":
            code = "from gateway.cli.main import main; main()"
            return [python, "-c", code, "serve", "-c", _serve_file(folder, port, upstream, keys)]
        case "nginx":
            return ["nginx", "-c", _filled("nginx.conf", folder, port, upstream, keys), "-e", folder / "nginx.early"]
        case "nginx+lua":
            return ["nginx", "-c", _filled("nginx-lua.conf", folder, port, upstream, keys), "-e", folder / "lua.early"]
        case "haproxy":
            return ["haproxy", "-db", "-f", _filled("haproxy.cfg", folder, port, upstream, keys)]
        case "caddy":
            file = _filled("Caddyfile", folder, port, upstream, keys)
            return ["caddy", "run", "--adapter", "caddyfile", "--config", file]
        case "fastify":
            return ["node", PEERS / "fastify.cjs", str(port), str(upstream)]
        case "fastify+keys":
            return ["node", PEERS / "fastify.cjs", str(port), str(upstream), str(keys), folder / "fastify.access"]
    raise SystemExit(f"no such contender: {name}")


def installed(name):
    if name.startswith("fastify"):
        return bool(shutil.which("node")) and any(
            Path(path, "fastify").exists() for path in NODE_PATH.split(os.pathsep)
        )
    if name == "nginx+lua":
        return bool(shutil.which("nginx")) and Path("/usr/lib/nginx/modules/ngx_http_lua_module.so").exists()
    return name in ("worker", "serve") or bool(shutil.which(name))


def start(name, folder, upstream, *, keys=1, limits=3, routes=1):
    port = free_port()
    contender = Contender(name, port, _command(name, folder, port, upstream, keys, limits, routes), folder)
    wait_for(port, contender.process)
    return contender
