"""SIGTERM while calls run: what has begun ends whole, who is connected is answered, who comes later is refused."""

import signal
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest
from support.process import KEY, GatewayProcess, configuration
from support.services import wait_until

pytestmark = pytest.mark.slow

PIECE = b"5\r\nhello\r\n"
GET = f"GET /x HTTP/1.1\r\nHost: api.test\r\nX-API-Key: {KEY}\r\n\r\n".encode()


def test_sigterm_cuts_nobody_and_keeps_nobody_waiting(
    gateway_process: Callable[[dict[str, Any]], GatewayProcess],
) -> None:
    go_on = threading.Event()

    def stream() -> None:
        while True:
            connection, _ = api.accept()
            threading.Thread(target=answer, args=(connection,), daemon=True).start()

    def answer(connection: socket.socket) -> None:
        with connection:
            while connection.recv(65536):
                connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + PIECE)
                go_on.wait(30)
                connection.sendall(PIECE + b"0\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as api:
        threading.Thread(target=stream, daemon=True).start()
        gateway = gateway_process(configuration(f"http://127.0.0.1:{api.getsockname()[1]}", workers=2))
        host, _, port = gateway.listen.rpartition(":")
        clients = [socket.create_connection((host, int(port)), timeout=30) for _ in range(50)]
        for client in clients:
            client.sendall(GET)
        assert gateway.process is not None
        gateway.process.send_signal(signal.SIGTERM)

        def refused() -> bool:
            with socket.socket() as late:
                return late.connect_ex((host, int(port))) != 0

        wait_until(refused, "refusals of new connections", 30)
        assert gateway.process.poll() is None  # still at the others' answers
        go_on.set()
        for client in clients:
            text = b""
            while not text.endswith(b"0\r\n\r\n"):
                text += client.recv(65536) or pytest.fail(f"cut after {text!r}")
            assert text.startswith(b"HTTP/1.1 200 ")
            client.close()
        assert gateway.process.wait(20) == 0
        assert gateway.command_json("calls", "--tenant", "acme", "--count") == len(clients)
