"""Small facts that one process publishes and another reads: JSON files replaced in one step, for their owner only."""

import json
import os
from pathlib import Path


def write_json(path: Path, value: object) -> None:
    """Replace the file; a reader sees the old or the new whole."""
    content = json.dumps(value).encode()
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        _write(temporary, content)
        temporary.replace(path)
    except OSError:
        # A full disk: the file that is there has blocks of its own. Who reads it half written reads nothing.
        temporary.unlink(missing_ok=True)
        _write(path, content)


def _write(path: Path, content: bytes) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600), "wb") as file:
        file.write(content)
        file.truncate()


def read_json(path: Path) -> dict[str, object]:
    """What was published last; empty when nothing was, or when the file is not ours to read."""
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
