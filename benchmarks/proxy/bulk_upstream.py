"""Sends as many bytes as the path's last part says, and swallows what it is sent. ``python bulk_upstream.py PORT``.

With ``/stalls/`` in the path it takes nothing of a body for as many seconds as ``STALLS`` says.
"""

import contextlib
import re
import socket
import sys
import threading
import time

PIECE = bytes(1 << 18)
STALLS = 3.0


def serve(connection):
    with connection, contextlib.suppress(ConnectionError):
        buffer, data = bytearray(1 << 20), b""
        while True:
            while b"\r\n\r\n" not in data:
                piece = connection.recv(65536)
                if not piece:
                    return
                data += piece
            head, _, rest = data.partition(b"\r\n\r\n")
            data = b""
            length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
            left = int(length[1]) - len(rest) if length else 0
            if b"/stalls/" in head:
                time.sleep(STALLS)
            while left > 0:
                left -= connection.recv_into(buffer, min(left, len(buffer)))
            size = int(head.split(b" ", 2)[1].rpartition(b"/")[2])
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
            for _ in range(size // len(PIECE)):
                connection.sendall(PIECE)


listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    client, _ = listener.accept()
    threading.Thread(target=serve, args=(client,), daemon=True).start()
