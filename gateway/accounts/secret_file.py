"""The secret that signs sessions: from ``accounts.secret``, else made once and kept in ``data/secret`` (0600)."""

import os
import secrets
from pathlib import Path

from gateway.errors import GatewayError

MIN_SECRET = 32


def load_secret(data_dir: Path, configured: str = "") -> bytes:
    """The signing secret; raises ``GatewayError`` when a configured one has fewer than 32 bytes (RFC 7518 §3.2).

    Two processes may start at once: the file appears whole by a hard link, and the first one wins.
    """
    if configured:
        if len(configured.encode()) < MIN_SECRET:
            raise GatewayError(f"accounts.secret is shorter than {MIN_SECRET} bytes; `openssl rand -hex 32` makes one")
        return configured.encode()
    path = data_dir / "secret"
    if not path.exists():
        _create(path)
    if path.stat().st_mode & 0o077:
        path.chmod(0o600)
    secret = path.read_bytes().strip()
    if len(secret) < MIN_SECRET:
        raise GatewayError(f"{path} is damaged; remove it, and everybody logs in again")
    return secret


def _create(path: Path) -> None:
    draft = path.with_name(f".secret-{os.getpid()}-{secrets.token_hex(4)}")
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(fd, secrets.token_hex(32).encode() + b"\n")
        os.fsync(fd)
    finally:
        os.close(fd)
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
