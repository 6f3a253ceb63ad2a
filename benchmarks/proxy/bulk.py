"""CPU per GB of bodies, downloads and uploads, of one worker beside nginx, and what a peer that stalls costs in memory.

``python benchmarks/proxy/bulk.py [MEGABYTES]``; 1024 by default. Exit code 1 when the worker's memory grew by 16 MB or
more at any time: a client that stops reading a download, an upstream that stops reading an upload, a client that
pipelines requests and reads no answer.
"""

import shutil
import socket
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import contenders as field

PIECE = bytes(1 << 18)
HEAD = b"%b /api/%d HTTP/1.1\r\nHost: api.example.com\r\nX-API-Key: bench-key-000000000000\r\n%b\r\n"
MOST = 16 << 20
STALLS = 3.0


def download(port, size, stalls=0.0):
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(HEAD % (b"GET", size, b""))
        time.sleep(stalls)
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


def upload(port, size, stalls=0.0):
    with socket.create_connection(("127.0.0.1", port)) as connection:
        head = HEAD % (b"POST", 0, b"Content-Length: %d\r\n" % size)
        connection.sendall(head.replace(b"/api/", b"/api/stalls/") if stalls else head)
        for _ in range(size // len(PIECE)):
            connection.sendall(PIECE)
        answer = connection.recv(65536)
        assert answer.startswith(b"HTTP/1.1 200"), answer[:200]


def pipelining(port, _, stalls):
    """A client that sends small requests for a while, as fast as they are taken, and reads nothing."""
    requests = HEAD % (b"GET", 0, b"") * 3000
    end, position = time.monotonic() + stalls, 0
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setblocking(False)
        while time.monotonic() < end:
            try:
                position = (position + connection.send(requests[position:])) % len(requests)
            except BlockingIOError:
                time.sleep(0.01)


def grown(contender, way, size):
    """Bytes that the contender's memory grew by, at most, while ``way`` ran with a peer that stalled."""
    pids, failed = contender.pids(), []
    before = most = field.resident_bytes(pids)

    def run():
        try:
            way(contender.port, size, STALLS)
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    while thread.is_alive():
        most = max(most, field.resident_bytes(pids))
        thread.join(0.05)
    if failed:
        raise failed[0]
    return most - before


def costs(running, size):
    """Print the medians of three rounds behind one that warms up."""
    results = {}
    for _ in range(4):
        for contender in running:
            for way in (download, upload):
                pids = contender.pids()
                before = field.cpu_seconds(pids)
                way(contender.port, size)
                seconds = (field.cpu_seconds(contender.pids()) - before) / (size / (1 << 30))
                results.setdefault((contender.name, way.__name__), []).append(seconds)
    for (name, way), rounds in results.items():
        print(f"proof: {name} {way}s: {statistics.median(rounds[1:]):.2f} s CPU a GB")


def main():
    size = (int(sys.argv[1]) if len(sys.argv) > 1 else 1024) << 20
    folder = Path(tempfile.mkdtemp(prefix="bench-bulk-"))
    upstream, upstream_process = field.start_upstream("bulk_upstream.py")
    running, held = [], True
    try:
        running = [field.start(name, folder, upstream) for name in ("worker", "nginx") if field.installed(name)]
        costs(running, size)
        for way in (download, upload, pipelining):
            growth = grown(running[0], way, size)
            held = held and growth < MOST
            what = way.__name__ if way is pipelining else f"{way.__name__} of {size >> 20} MB"
            print(f"proof: {what}, the peer stalls for {STALLS:.0f} s: memory at most {growth / (1 << 20):+.1f} MB")
    finally:
        for contender in running:
            contender.stop()
        upstream_process.terminate()
        upstream_process.wait()
        shutil.rmtree(folder, ignore_errors=True)
    return 0 if held else 1


sys.exit(main())
