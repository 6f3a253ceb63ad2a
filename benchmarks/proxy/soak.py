"""A whole ``gateway serve`` under mixed load: memory and descriptors may not grow after the warm-up.

``SOAK_SECONDS=600 python benchmarks/proxy/soak.py``. Calls on kept and on new connections, downloads and uploads,
clients that leave in mid-answer, pipelines, refused keys, and requests that are none. Exits 1 when the worker grew
by 8 MB or all processes by 64 descriptors.
"""

import os
import random
import shutil
import socket
import struct
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import contenders as field

SECONDS = float(os.environ.get("SOAK_SECONDS", "600"))
KEYS = 50
MOST_BYTES, MOST_DESCRIPTORS = 8 << 20, 64


def head(method, size, key, *lines):
    return b"\r\n".join(
        [b"%b /%d HTTP/1.1" % (method, size), b"Host: a", b"X-API-Key: bench-key-%012d" % key, *lines, b"", b""]
    )


def answer(connection, size):
    """Read one whole answer; its status."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(1 << 16) or b"\r\n\r\n"
    left = size - (len(data) - data.find(b"\r\n\r\n") - 4) if data.startswith(b"HTTP/1.1 200") else 0
    while left > 0:
        piece = connection.recv(1 << 16)
        if not piece:
            raise ConnectionError("cut")
        left -= len(piece)
    return data[9:12].decode()


class Client(threading.Thread):
    """Draws one kind of behaviour after the other."""

    def __init__(self, port, seed, until, seen):
        super().__init__(daemon=True)
        self._port, self._until, self._seen = port, until, seen
        self._random = random.Random(seed)

    def run(self):
        kinds = [self.kept, self.kept, self.kept, self.download, self.upload, self.leaves, self.pipeline, self.refused,
                 self.nonsense]  # fmt: skip
        while time.monotonic() < self._until:
            kind = self._random.choice(kinds)
            try:
                with socket.create_connection(("127.0.0.1", self._port), timeout=20) as connection:
                    kind(connection)
                self._seen[kind.__name__] += 1
            except (OSError, AssertionError) as error:
                self._seen[f"{kind.__name__}: {type(error).__name__} {error}"] += 1
            time.sleep(self._random.random() * 0.02)

    def key(self):
        return self._random.randrange(KEYS)

    def kept(self, connection):
        for _ in range(self._random.randrange(1, 100)):
            connection.sendall(head(b"GET", 0, self.key()))
            assert answer(connection, 0) == "200"

    def download(self, connection):
        connection.sendall(head(b"GET", 4 << 20, self.key()))
        assert answer(connection, 4 << 20) == "200"

    def upload(self, connection):
        size = self._random.randrange(1, 2 << 20)
        connection.sendall(head(b"POST", 0, self.key(), b"Content-Length: %d" % size) + bytes(size))
        assert answer(connection, 0) == "200"

    def leaves(self, connection):
        connection.sendall(head(b"GET", 8 << 20, self.key()))
        connection.recv(self._random.randrange(1, 1 << 20))
        if self._random.random() < 0.5:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def pipeline(self, connection):
        count = self._random.randrange(2, 10)
        connection.sendall(head(b"GET", 0, self.key()) * (count - 1) + head(b"GET", 0, 1, b"Connection: close"))
        data = b""
        while piece := connection.recv(1 << 16):
            data += piece
        assert data.count(b"HTTP/1.1 200") == count

    def refused(self, connection):
        connection.sendall(head(b"GET", 0, 10**9 + self._random.randrange(10**6)))
        status = answer(connection, 0)
        assert status in ("401", "429"), status  # 429: too many wrong keys from one address

    def nonsense(self, connection):
        connection.sendall(self._random.randbytes(self._random.randrange(1, 200)) + b"\r\n\r\n")
        connection.recv(1 << 16)


def descriptors(pids):
    return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in pids)


def main():
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    upstream, upstream_process = field.start_upstream("bulk_upstream.py")
    contender = field.start("serve", folder, upstream, keys=KEYS)
    seen = Counter()
    try:
        begun = time.monotonic()
        until = begun + SECONDS
        clients = [Client(contender.port, seed, until, seen) for seed in range(8)]
        for client in clients:
            client.start()
        time.sleep(SECONDS / 4)
        samples = []
        while time.monotonic() < until - 1:
            samples.append((field.resident_bytes(contender.worker_pids()), field.resident_bytes(contender.pids()),
                            descriptors(contender.pids())))  # fmt: skip
            time.sleep(SECONDS / 60)
        for client in clients:
            client.join()
        third = max(1, len(samples) // 3)
        # What is in use moves by the moment: the largest of the last third beside the largest of the first.
        first, last = (
            [max(column) for column in zip(*part, strict=True)] for part in (samples[:third], samples[-third:])
        )
        worker, whole, open_files = (after - before for before, after in zip(first, last, strict=True))
        print(", ".join(f"{kind} {count}" for kind, count in sorted(seen.items())))
        print(
            f"proof: {SECONDS:.0f} s of mixed load, the first quarter to warm up: worker {worker / (1 << 20):+.1f} MB, "
            f"all processes {whole / (1 << 20):+.1f} MB, descriptors {open_files:+d}; {sum(seen.values())} connections"
        )
        failures = [kind for kind in seen if "Assertion" in kind]
        return 1 if worker >= MOST_BYTES or open_files >= MOST_DESCRIPTORS or failures else 0
    finally:
        contender.stop()
        upstream_process.terminate()
        upstream_process.wait()
        shutil.rmtree(folder, ignore_errors=True)


sys.exit(main())
