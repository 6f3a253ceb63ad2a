"""CPU per GB of bodies, downloads and uploads, of one worker beside nginx.

``python benchmarks/proxy/bulk.py [MEGABYTES]``; 1024 by default. Also the growth of resident memory while it ran.
"""

import shutil
import socket
import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import contenders as field

PIECE = bytes(1 << 18)
HEAD = b"%b /api/%d HTTP/1.1\r\nHost: api.example.com\r\nX-API-Key: bench-key-000000000000\r\n%b\r\n"


def download(port, size):
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(HEAD % (b"GET", size, b""))
        received, buffer = -1, bytearray(1 << 20)
        while received < size:
            count = connection.recv_into(buffer)
            if not count:
                raise SystemExit(f"ended at {received} of {size}")
            if received < 0:
                assert buffer.startswith(b"HTTP/1.1 200"), bytes(buffer[:200])
                received = count - (buffer.find(b"\r\n\r\n") + 4)
            else:
                received += count


def upload(port, size):
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(HEAD % (b"POST", 0, b"Content-Length: %d\r\n" % size))
        for _ in range(size // len(PIECE)):
            connection.sendall(PIECE)
        answer = connection.recv(65536)
        assert answer.startswith(b"HTTP/1.1 200"), answer[:200]


def main():
    size = (int(sys.argv[1]) if len(sys.argv) > 1 else 1024) << 20
    folder = Path(tempfile.mkdtemp(prefix="bench-bulk-"))
    upstream, upstream_process = field.start_upstream("bulk_upstream.py")
    running = []
    try:
        running = [field.start(name, folder, upstream) for name in ("worker", "nginx") if field.installed(name)]
        results = {}
        for _ in range(4):
            for contender in running:
                for way in (download, upload):
                    pids = contender.pids()
                    before, memory = field.cpu_seconds(pids), field.resident_bytes(pids)
                    way(contender.port, size)
                    seconds = (field.cpu_seconds(contender.pids()) - before) / (size / (1 << 30))
                    grown = field.resident_bytes(contender.pids()) - memory
                    results.setdefault((contender.name, way.__name__), []).append((seconds, grown))
        for (name, way), rounds in results.items():
            seconds, grown = (statistics.median(column) for column in zip(*rounds[1:], strict=True))
            print(f"{name:8} {way:9} {seconds:.2f} s CPU a GB, memory {grown / (1 << 20):+.1f} MB")
    finally:
        for contender in running:
            contender.stop()
        upstream_process.terminate()
        upstream_process.wait()
        shutil.rmtree(folder, ignore_errors=True)


main()
