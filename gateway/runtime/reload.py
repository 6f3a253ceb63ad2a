"""Reloading: SIGHUP or a changed file loads, validates, tells what changes, and hands over a new snapshot.

A bad file changes nothing and says why. Content that means the same is no event (DESIGN §6, Caddy).
"""

import dataclasses
import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from gateway.config.compile import compile_snapshot
from gateway.config.diff import diff, keep_until_restart, restart_needed
from gateway.config.loader import Stamp, compile_resolved, resolve, stamp
from gateway.config.snapshot import Snapshot
from gateway.errors import ConfigError

logger = logging.getLogger(__name__)

INTERVAL = 0.25
"""Seconds between looks at the files. A change is loaded when two looks agree, so that no half-written file is."""


class Reloader:
    """Watches one configuration: its file and all that it includes, by time, size and inode."""

    def __init__(
        self,
        path: Path,
        environ: Mapping[str, str],
        overrides: Mapping[str, object],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = path
        self._environ = environ
        self._overrides = overrides
        self._monotonic = monotonic
        self._files: tuple[Path, ...] = (path,)
        self._loaded: tuple[Stamp, ...] = ()
        self._looked: tuple[Stamp, ...] = ()
        self._next_look = 0.0
        self._requested = False
        self._current: Snapshot | None = None

    def load(self) -> Snapshot:
        """The first load; raises ``ConfigError`` with every fault."""
        self._current = self._read()
        return self._current

    def request(self) -> None:
        """Load at the next poll whether or not a file changed (SIGHUP; safe in a signal handler)."""
        self._requested = True

    def poll(self) -> Snapshot | None:
        """A new snapshot when there is one to publish; None when nothing changed or the change is refused."""
        if self._requested:
            self._requested = False
            return self._reload()
        if self._monotonic() < self._next_look:
            return None
        self._next_look = self._monotonic() + INTERVAL
        signature = tuple(map(stamp, self._files))
        if signature == self._loaded:
            self._looked = signature
            return None
        settled, self._looked = signature == self._looked, signature
        return self._reload() if settled else None

    def _read(self) -> Snapshot:
        resolved = resolve(self._path, self._environ, self._overrides)
        self._files, self._loaded = resolved.files, resolved.stamps
        return compile_resolved(resolved)

    def _reload(self) -> Snapshot | None:
        old = self._current
        assert old is not None, "load() comes first"
        try:
            new = self._read()
        except ConfigError as error:
            for fault in error.faults:
                where = {"file": fault.file, "line": fault.line, "field": fault.field}
                logger.error("configuration refused: %s", fault, extra=where)
            return None
        if new.source == old.source:
            logger.info("configuration unchanged")
            return None
        if waiting := restart_needed(old, new):
            logger.warning("these settings change at the next start only", extra={"fields": waiting})
            new = compile_snapshot(keep_until_restart(old, new), new.folder, 0)
        changes = diff(old, new)
        if not changes:
            return None
        logger.info("configuration changed", extra={"changes": changes})
        self._current = dataclasses.replace(new, version=old.version + 1)
        return self._current
