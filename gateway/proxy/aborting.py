"""What only the socket below a transport can do: end so that the peer sees an abort (RST) and takes nothing for whole,
and say how much the peer has taken.
"""

import asyncio
import socket
import struct
import sys

_NO_LINGER = struct.pack("ii", 1, 0)
_TCP_INFO = 11  # Linux's name of the option; elsewhere the number means another, or none
_BYTES_ACKED = struct.Struct("=120xQ")  # tcpi_bytes_acked of struct tcp_info, linux/tcp.h


def reset_on_close(transport: asyncio.BaseTransport) -> None:
    """From now on a close of ``transport`` is an abort to the peer."""
    sock = transport.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)


def acknowledged(transport: asyncio.BaseTransport) -> int:
    """Bytes that the peer's host has taken so far; 0 where the system does not say (not Linux, or closed)."""
    sock = transport.get_extra_info("socket")
    if sock is None or not sys.platform.startswith("linux"):
        return 0
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, _BYTES_ACKED.size)
    except OSError:
        return 0
    return int(_BYTES_ACKED.unpack(info)[0]) if len(info) == _BYTES_ACKED.size else 0
