"""Small facts that one process publishes and another reads: JSON files replaced in one step."""

import json
import os
from pathlib import Path


def write_json(path: Path, value: object) -> None:
    """Replace the file; a reader sees the old or the new whole."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(value))
    temporary.replace(path)


def read_json(path: Path) -> dict[str, object]:
    """What was published last; empty when nothing was, or when the file is not ours to read."""
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
