"""Small facts that one process publishes and another reads: JSON files replaced in one step, for their owner only."""

import json
import os
from pathlib import Path


def write_json(path: Path, value: object) -> None:
    """Replace the file; a reader sees the old or the new whole."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "w") as file:
        json.dump(value, file)
    temporary.replace(path)


def read_json(path: Path) -> dict[str, object]:
    """What was published last; empty when nothing was, or when the file is not ours to read."""
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
