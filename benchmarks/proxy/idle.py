"""Memory per idle client connection: 10,000 kept connections that made one call each, others still answered.

``python benchmarks/proxy/idle.py [CONNECTIONS]``. Needs twice as many descriptors; fewer are used where the
system allows fewer, and the figure says how many.
"""

import resource
import shutil
import socket
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import contenders as field

REQUEST = (
    b"GET /api/v1/items?page=1 HTTP/1.1\r\nHost: api.example.com\r\nX-API-Key: bench-key-%012d\r\n"
    b"User-Agent: load/1.0\r\nAccept: */*\r\nAccept-Encoding: gzip, deflate\r\n\r\n"
)


def call(connection):
    connection.sendall(REQUEST % 0)
    answer = b""
    while not answer.endswith(b'"}'):
        answer += connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 200"), answer[:100]


def main():
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    count = min(wanted, most - 1000)
    folder = Path(tempfile.mkdtemp(prefix="bench-idle-"))
    upstream, upstream_process = field.start_upstream()
    contender = field.start("worker", folder, upstream)
    connections = []
    try:
        for _ in range(200):  # pools and caches are warm
            with socket.create_connection(("127.0.0.1", contender.port)) as warm:
                call(warm)
        before = field.resident_bytes(contender.pids())
        for number in range(count):
            address = f"127.0.{number // 20_000}.{1 + number % 200}"
            connection = socket.create_connection(("127.0.0.1", contender.port), source_address=(address, 0))
            call(connection)
            connections.append(connection)
        time.sleep(1)
        each = (field.resident_bytes(contender.pids()) - before) / count
        begun = time.perf_counter()
        for connection in connections[:: max(1, count // 100)]:
            call(connection)
        took = (time.perf_counter() - begun) / 100 * 1e6
        print(f"proof: {count} idle connections: {each:.0f} bytes each in the worker; others answered in {took:.0f} µs")
        assert each <= 20_000
    finally:
        for connection in connections:
            connection.close()
        contender.stop()
        upstream_process.terminate()
        upstream_process.wait()
        shutil.rmtree(folder, ignore_errors=True)


main()
