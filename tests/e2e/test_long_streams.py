"""Long streams in the real gateway: what stalled peers cost in memory, parts in every sum, and a worker that is
killed in mid-stream.
"""

import os
import signal
import socket
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.process import KEY, GatewayProcess, configuration
from support.services import wait_until

pytestmark = pytest.mark.slow

MIB = 1 << 20
PIECE = b"x" * MIB


class _Bulk(socketserver.BaseRequestHandler):
    """``GET /down/N`` sends N MiB; ``POST /up`` reads slowly until told, then whole, and answers how much came."""

    def handle(self) -> None:
        data = b""
        while b"\r\n\r\n" not in data:
            data += self.request.recv(65536)
        head, _, body = data.partition(b"\r\n\r\n")
        try:
            if head.startswith(b"GET"):
                size = int(head.split(b" ")[1].rpartition(b"/")[2])
                self.request.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (size * MIB))
                for _ in range(size):
                    self.request.sendall(PIECE)
            else:
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                self.server.go_on.wait(30)  # type: ignore[attr-defined]
                got = len(body)
                while got < length:
                    got += len(self.request.recv(MIB))
                answer = b"%d" % got
                self.request.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(answer), answer))
        except OSError:
            pass


class BulkApi(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Bulk)
        self.go_on = threading.Event()
        threading.Thread(target=self.serve_forever, daemon=True).start()


@pytest.fixture(scope="module")
def bulk() -> Iterator[BulkApi]:
    server = BulkApi()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def gateway(bulk: BulkApi, tmp_path: Path) -> Iterator[GatewayProcess]:
    limit = {"name": "volume", "meter": "bytes", "max": 10**12, "per": "month"}
    document = configuration(f"http://127.0.0.1:{bulk.server_address[1]}", limits=[limit])
    document["routes"]["main"]["meters"] = {"bytes": {"response_bytes": True, "estimate": 1000}}
    running = GatewayProcess(tmp_path, document)
    running.start()
    yield running
    running.stop()


def connect(gateway: GatewayProcess, head: str) -> socket.socket:
    host, _, port = gateway.listen.rpartition(":")
    client = socket.create_connection((host, int(port)), timeout=30)
    client.sendall(f"{head} HTTP/1.1\r\nHost: bulk.test\r\nX-API-Key: {KEY}\r\n".encode())
    return client


def read(client: socket.socket, size: int) -> int:
    """Read at least so many bytes, or to the end; how many came."""
    got = 0
    while got < size:
        data = client.recv(MIB)
        if not data:
            break
        got += len(data)
    return got


def memory_kib(pid: int) -> int:
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.split("VmHWM:")[1].split()[0])


def the_worker(gateway: GatewayProcess) -> int:
    [pid] = gateway.children("gateway.runtime.worker")
    return pid


def rows(gateway: GatewayProcess) -> list[dict[str, object]]:
    listed = gateway.command_json("calls", "--tenant", "acme")
    return listed["data"] if isinstance(listed, dict) else listed  # type: ignore[no-any-return]


def test_stalled_peers_cost_little_memory(gateway: GatewayProcess, bulk: BulkApi) -> None:
    size = int(os.environ.get("BULK_MIB", "128"))
    worker = the_worker(gateway)
    with connect(gateway, "GET /down/1") as client:
        client.sendall(b"\r\n")
        read(client, MIB)
    before = memory_kib(worker)
    with connect(gateway, f"GET /down/{size}") as down, connect(gateway, "POST /up") as up:
        down.sendall(b"\r\n")
        up.sendall(b"Content-Length: %d\r\n\r\n" % (size * MIB))
        up.settimeout(0.5)
        sent = 0
        try:
            while sent < size * MIB:
                sent += up.send(PIECE)
        except TimeoutError:
            pass  # the upstream reads nothing: neither do we
        assert sent < size * MIB
        stalled = memory_kib(worker) - before
        up.settimeout(30)
        bulk.go_on.set()
        while sent < size * MIB:
            sent += up.send(PIECE[: size * MIB - sent])
        assert up.recv(65536).endswith(b"%d" % (size * MIB))
        assert read(down, size * MIB) >= size * MIB
    assert stalled < 16 * 1024
    assert memory_kib(worker) - before < 16 * 1024


def test_parts_of_a_long_answer_are_in_every_sum(gateway: GatewayProcess) -> None:
    with connect(gateway, "GET /down/200") as client:
        client.sendall(b"\r\n")
        got = read(client, 100 * MIB)
        wait_until(lambda: bool(rows(gateway)), "a checkpoint")
        read(client, 200 * MIB - got)
    wait_until(lambda: sum(1 for _ in rows(gateway)) >= 2, "a part and the rest")
    parts = rows(gateway)
    assert sum(row["units"].get("bytes", 0) for row in parts) == 200 * MIB  # type: ignore[attr-defined]
    assert sum(row["units"].get("calls", 0) for row in parts) == 1  # type: ignore[attr-defined]
    assert gateway.command("calls", "--tenant", "acme", "--count").stdout.strip() == "1"
    done = gateway.command("reconcile")
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_killed_worker_bills_up_to_the_last_checkpoint(gateway: GatewayProcess) -> None:
    with connect(gateway, "GET /down/400") as client:
        client.sendall(b"\r\n")
        read(client, 150 * MIB)
        wait_until(lambda: bool(rows(gateway)), "a checkpoint")
        os.kill(the_worker(gateway), signal.SIGKILL)
        try:
            got = 150 * MIB + read(client, 400 * MIB)
        except ConnectionError:
            got = 400 * MIB
    wait_until(lambda: any(row["outcome"] == "interrupted" for row in rows(gateway)), "the recovery")
    parts = rows(gateway)
    billed = sum(row["units"].get("bytes", 0) for row in parts if row["billable"])  # type: ignore[attr-defined]
    assert 64 * MIB <= billed <= got
    done = gateway.command("reconcile")
    assert done.returncode == 0, done.stdout + done.stderr


def test_reconcile_beside_an_open_call_counts_what_it_holds(gateway: GatewayProcess) -> None:
    with connect(gateway, "GET /down/100") as client:
        client.sendall(b"\r\n")
        read(client, 1)
        done = gateway.command("reconcile")
    assert done.returncode == 0, done.stdout + done.stderr
