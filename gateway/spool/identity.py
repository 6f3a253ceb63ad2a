"""Who wrote a record: the host's id, made once, and the incarnation's name, made at every worker start."""

import base64
import os
from pathlib import Path

from gateway.ids import ID_BYTES, uuid7
from gateway.spool.files import PRIVATE, sync_directory

HOST_ID_FILE = "host_id"


def read_host_id(data_dir: Path) -> bytes:
    """The 16 random bytes in ``data/host_id``; the first caller makes them, and a race has one winner.

    Raises ``ValueError`` when the file holds anything else: a host that changes its id would count as another.
    """
    path = data_dir / HOST_ID_FILE
    if not path.exists():
        temporary = path.with_name(f".{HOST_ID_FILE}.{os.getpid()}.new")
        temporary.write_bytes(os.urandom(ID_BYTES))
        temporary.chmod(PRIVATE)
        try:
            os.link(temporary, path)
        except FileExistsError:
            pass
        finally:
            temporary.unlink()
        sync_directory(data_dir)
    host_id = path.read_bytes()
    if len(host_id) != ID_BYTES:
        raise ValueError(f"{path} must hold {ID_BYTES} bytes, not {len(host_id)}")
    return host_id


def new_incarnation(host_id: bytes, worker: int, now_us: int) -> str:
    """``<host8>-<worker>-<base32 of a UUIDv7>``: unique, a file name, sorted by time within a slot."""
    unique = base64.b32encode(uuid7(now_us)).decode().rstrip("=").lower()
    return f"{host_id.hex()[:8]}-{worker}-{unique}"
