"""Where the configuration holds a field: its file and line, for saying why something can't be changed elsewhere."""

import os
from collections.abc import Mapping
from pathlib import Path

from gateway.config.loader import Resolved, Stamp, resolve, stamp


class OwnerFiles:
    """Looks fields up in the files as they are now; they are read again when one of them changed."""

    def __init__(self, path: Path, environ: Mapping[str, str]) -> None:
        self._path = path
        self._environ = environ
        self._resolved: Resolved | None = None

    def __call__(self, field: tuple[str, ...]) -> str:
        """``config/tenants.yaml:7``; the nearest field around it, or the main file, when it is not written."""
        marks = self._read().tree.marks
        for end in range(len(field), 0, -1):
            mark = marks.get(field[:end])
            if mark is not None and mark.line:
                return f"{os.path.relpath(mark.file, self._path.parent)}:{mark.line}"
        return self._path.name

    def _read(self) -> Resolved:
        kept = self._resolved
        stamps: tuple[Stamp, ...] = tuple(map(stamp, kept.files)) if kept else ()
        if kept is None or stamps != kept.stamps:
            kept = self._resolved = resolve(self._path, self._environ)
        return kept
