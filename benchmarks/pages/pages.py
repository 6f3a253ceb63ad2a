"""How long each page takes, at the server: ``python benchmarks/pages/pages.py [TENANT ADMIN_LINK PORTAL_LINK]``.

Without arguments it runs ``gateway demo --scale 10000`` in a folder of its own; else the links are those of the card of
a running demo, and each logs in once. 200 requests a page, one after the other, on one connection, while CALLS calls a
second (default 5, own demo only) go through the gateway, so that the ledger moves under the pages. Prints p50, p95, the
longest and the size a page, with the processor's time of the control process, which other work on the machine does not
lengthen; the last line says whether every p95 is below 100 ms, and so does the exit code.
"""

import http.client
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

REQUESTS = int(os.environ.get("REQUESTS", "200"))
TENANT = "globex"  # of the demo, with invoices
CALLS = float(os.environ.get("CALLS", "5"))
BUDGET_MS = 100.0
ADMIN = (
    "/admin", "/admin?fragment=live", "/admin/tenants", "/admin/tenants?search=customer-09", "/admin/tenants/{id}",
    "/admin/tenants/{id}/usage", "/admin/tenants/{id}/calls", "/admin/tenants/{id}/keys", "/admin/tenants/{id}/plan",
    "/admin/tenants/{id}/invoices", "/admin/tenants/{id}/team", "/admin/tenants/{id}/settings",
    "/admin/tenants/{id}/audit", "/admin/calls", "/admin/plans", "/admin/plans/pro", "/admin/invoices",
    "/admin/routes", "/admin/config", "/admin/people", "/admin/audit", "/admin/outbox", "/admin/reconcile",
    "/admin/new-tenant", "/account", "/account/access",
)  # fmt: skip
PORTAL = (
    "/portal", "/portal?fragment=live", "/portal/usage", "/portal/calls", "/portal/keys", "/portal/try", "/portal/plan",
    "/portal/plan?plan=pro", "/portal/invoices", "/portal/team", "/portal/settings", "/portal/audit",
)  # fmt: skip


def control_pid(port: int) -> int | None:
    """The control process that holds the listening socket of a port (Linux)."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    sockets = {f"socket:[{row[9]}]" for row in rows if row[1].endswith(f":{port:04X}") and row[3] == "0A"}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            held = {os.readlink(file) for file in (folder / "fd").iterdir()} & sockets
            if held and b"gateway.runtime.control" in (folder / "cmdline").read_bytes():
                return int(folder.name)
        except OSError:
            continue
    return None


def cpu_seconds(pid: int) -> float:
    """The processor's time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def log_in(host: str, link: str) -> str:
    """The session's cookie."""
    connection = http.client.HTTPConnection(host)
    parts = urlsplit(link)
    connection.request("GET", f"{parts.path}?{parts.query}")
    cookie = connection.getresponse().getheader("Set-Cookie")
    if cookie is None:
        sys.exit(f"the link was used already: {link}")
    return cookie.partition(";")[0]


def measure(host: str, cookie: str, path: str, pid: int | None) -> tuple[float, float, float, float, int]:
    """p50, p95, the longest and the processor's time in milliseconds, and the size in bytes."""
    connection = http.client.HTTPConnection(host, timeout=60)
    took, body = [], b""
    for number in range(REQUESTS + 1):
        if number == 1 and pid is not None:
            began = cpu_seconds(pid)
        start = time.perf_counter()
        connection.request("GET", path, headers={"Cookie": cookie})
        answer = connection.getresponse()
        body = answer.read()
        took.append((time.perf_counter() - start) * 1000)
        if answer.status != 200:
            sys.exit(f"{path}: {answer.status}")
    worked = (cpu_seconds(pid) - began) * 1000 / REQUESTS if pid is not None else 0.0
    took = sorted(took[1:])  # the first compiles the template
    return took[REQUESTS // 2], took[REQUESTS * 95 // 100], took[-1], worked, len(body)


@contextmanager
def traffic(url: str, key: str) -> Iterator[None]:
    """Calls through the gateway, evenly, while it is needed."""
    over = threading.Event()
    parts = urlsplit(url)

    def call() -> None:
        connection = http.client.HTTPConnection(parts.netloc)
        while CALLS and not over.wait(1 / CALLS):
            connection.request("GET", f"{parts.path}?{parts.query}", headers={"X-API-Key": key})
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200:
                sys.exit(f"{url}: {answer.status}")

    thread = threading.Thread(target=call)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextmanager
def own_demo() -> Iterator[tuple[str, str, str]]:
    """A demo of many tenants with traffic while it is needed: a tenant of it, the admin's link and the portal's."""
    command = [str(Path(sys.executable).with_name("gateway")), "demo", "--scale", os.environ.get("SCALE", "10000")]
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        card = ""
        try:
            while "Ctrl-C" not in card:
                card += process.stdout.readline() or sys.exit("the demo ended before it was ready")
            links = re.findall(r"^http://\S+/login/link\?token=\S+$", card, re.MULTILINE)
            key, url = re.findall(r"^gk_live_\S+$", card, re.MULTILINE)[-1], re.findall(r"http://[^\s\"]+", card)[0]
            with traffic(url, key):
                yield TENANT, links[1], links[0]
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(60)


def main() -> None:
    """Those of the arguments, or of a demo of our own."""
    if len(sys.argv) > 1:
        tenant, admin_link, portal_link, *pid = sys.argv[1:]
        sys.exit(measure_all(tenant, admin_link, portal_link, int(pid[0]) if pid else None))
    with own_demo() as (tenant, admin_link, portal_link):
        code = measure_all(tenant, admin_link, portal_link)
    sys.exit(code)


def measure_all(tenant: str, admin_link: str, portal_link: str, pid: int | None = None) -> int:
    """Print every page's figures; returns the exit code."""
    host = urlsplit(admin_link).netloc
    pid = pid or control_pid(int(host.rpartition(":")[2]))
    print(
        f"{'page':<44}{'p50 ms':>9}{'p95 ms':>9}{'max ms':>9}{'cpu ms':>9}{'bytes':>9}   load {os.getloadavg()[0]:.1f}"
    )
    slow = []
    for link, paths in ((admin_link, ADMIN), (portal_link, PORTAL)):
        cookie = log_in(host, link)
        for path in paths:
            p50, p95, longest, worked, size = measure(host, cookie, path.replace("{id}", tenant), pid)
            slow += [path] if p95 >= BUDGET_MS or size >= 100_000 else []
            print(f"{path:<44}{p50:>9.1f}{p95:>9.1f}{longest:>9.1f}{worked:>9.1f}{size:>9}", flush=True)
    print(f"proof: {len(ADMIN) + len(PORTAL)} pages, {len(slow)} of them at or above 100 ms or 100 KB {' '.join(slow)}")
    return 1 if slow else 0


if __name__ == "__main__":
    main()
