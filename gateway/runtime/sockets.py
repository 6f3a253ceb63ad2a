"""Listening sockets: made once by the supervisor, kept open, inherited by the children (DESIGN §3)."""

import asyncio
import select
import socket
import sys

from gateway.config.snapshot import Address
from gateway.errors import GatewayError

BACKLOG = 4096


class PortTaken(GatewayError):
    """Somebody else listens there."""

    def __init__(self, address: Address, reason: str) -> None:
        super().__init__(f"cannot listen on {address}: {reason}; stop what listens there or change server.listen")
        self.address = address


def listen(address: Address, *, reuse_port: bool = False) -> socket.socket:
    """One listening, inheritable, non-blocking socket."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind((address.host, address.port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise PortTaken(address, error.strerror or str(error)) from None
    listener.setblocking(False)
    listener.set_inheritable(True)
    return listener


def listen_for_workers(address: Address, workers: int) -> list[socket.socket]:
    """One socket a worker slot: SO_REUSEPORT siblings on Linux, one shared socket elsewhere.

    A plain socket is bound first, so that a port that another program (or another gateway's siblings) holds is
    refused instead of shared.
    """
    probe = listen(address)
    host, port = probe.getsockname()[:2]
    if workers == 1 or sys.platform != "linux":
        return [probe] * workers
    probe.close()
    return [listen(Address(host, port), reuse_port=True) for _ in range(workers)]


async def accept_rest(listener: socket.socket) -> None:
    """Let the loop accept who is connected already: closing the socket would reset them, their requests in it."""
    waiting = select.poll()
    waiting.register(listener, select.POLLIN)
    for _ in range(BACKLOG):
        if not waiting.poll(0):
            return
        await asyncio.sleep(0)
