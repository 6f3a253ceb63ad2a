"""The demo's API as a child process on a free port."""

import contextlib
import socket
import subprocess
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def running_api() -> Iterator[str]:
    """Start the API; gives its URL, and stops it at the end.

    The socket is bound here and inherited, so that the port cannot be lost between choosing and listening. The child's
    standard input is a pipe from us: it ends when we do, even by ``kill -9``.
    """
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        port = listener.getsockname()[1]
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-m", "gateway.demo.upstream", str(listener.fileno())],
            pass_fds=(listener.fileno(),),
            stdin=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C reaches the gateway alone, which drains its calls to this API
        )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        if process.stdin is not None:
            process.stdin.close()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
