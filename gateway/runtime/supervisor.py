"""The supervisor: lock, sockets, children, reload, drain. ``serve`` and ``demo`` run it.

It does no work in the way of a call, so it has little to crash on; its children watch a pipe to it and drain when it
is gone. Order at the start: the shipper first (it migrates the store, recovers what a crash left and seeds the
counters), then workers and the control process; a store that is down delays the workers by ``SHIPPER_WAIT`` at most.
"""

import contextlib
import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from gateway.config.snapshot import Snapshot
from gateway.errors import ConfigError, Fault
from gateway.runtime import data_dir, sockets
from gateway.runtime.processes import Child, ProcessTable
from gateway.runtime.reload import Reloader
from gateway.runtime.state_feed import StatePublisher

logger = logging.getLogger(__name__)

TICK = 0.25
SHIPPER_WAIT = 20.0
WORKERS_WAIT = 2.0
DRAIN = 30.0
EXIT_REFUSED = 2
ReadyCallback = Callable[[Snapshot], None]


class Supervisor:
    """Runs one gateway until SIGTERM or SIGINT.

    ``overrides`` are dotted paths laid over the resolved document (``{"server.listen": "127.0.0.1:0"}``); ``on_ready``
    is called once, when every child has said that it works. Raises ``ConfigError``, ``PortTaken``, ``AlreadyRunning``.
    """

    def __init__(
        self,
        config_path: Path,
        *,
        role: str = "all",
        overrides: Mapping[str, object] | None = None,
        on_ready: ReadyCallback | None = None,
        log_level: str = "INFO",
    ) -> None:
        self._reloader = Reloader(config_path, os.environ, overrides or {})
        self._config_path = config_path
        self._role = role
        self._on_ready = on_ready
        self._log_level = log_level
        self._stopping = False
        self._announced = False
        self._code = 0

    def run(self) -> int:
        """Serve; returns the exit code after the drain: 2 when the store is one that this gateway must not use."""
        snapshot = self._reloader.load()
        refuse_unserved(snapshot, self._role)
        data_dir.prepare(snapshot.data_dir)
        lock = data_dir.DataDirLock(snapshot.data_dir)
        try:
            data_sockets, control_sockets = self._listen(snapshot)
            publisher = StatePublisher(snapshot.data_dir)
            publisher.publish_config(snapshot)
            table = ProcessTable(snapshot, self._config_path, self._log_level, self._role)
            with self._signals() as wakeup:
                self._serve(snapshot, table, publisher, data_sockets, control_sockets, wakeup)
            table.close()
        finally:
            lock.release()
        return self._code

    def _serve(
        self,
        snapshot: Snapshot,
        table: ProcessTable,
        publisher: StatePublisher,
        data_sockets: list[socket.socket],
        control_sockets: list[socket.socket],
        wakeup: int,
    ) -> None:
        shipper = [Child("shipper", "gateway.runtime.shipper")] if data_sockets else []
        workers = [
            Child(f"worker-{slot}", "gateway.runtime.worker_entry", slot, (listener,))
            for slot, listener in enumerate(data_sockets)
        ]
        pages = "gateway.runtime.host_status" if self._role == "proxy" else "gateway.runtime.control"
        control = [Child("control", pages, 0, tuple(control_sockets))]
        for child in shipper:
            table.start(child)
        for child in workers:
            table.start(child, held=True)
        self._wait(table, shipper, SHIPPER_WAIT, wakeup)
        table.release(workers)
        # The first accept is what a restart is measured by; the pages may load after it.
        self._wait(table, workers, WORKERS_WAIT, wakeup)
        for child in control:
            table.start(child)
        while not self._stopping:
            self._turn(table, wakeup)
            if not self._announced and all(child.is_ready for child in table.children):
                self._announced = True
                if self._on_ready is not None:
                    self._on_ready(snapshot)
                server = snapshot.server
                where = {"calls": str(server.listen), "pages": f"http://{server.control}", "workers": len(workers)}
                logger.info("ready", extra=where)
            if (changed := self._reloader.poll()) is not None:
                publisher.publish_config(changed)
        logger.info("draining")
        for listener in data_sockets:
            listener.close()  # with the workers' own, who connects now is refused instead of waiting for nobody
        table.stop(workers, DRAIN)
        table.stop([*control, *shipper], DRAIN)
        logger.info("stopped")

    def _listen(self, snapshot: Snapshot) -> tuple[list[socket.socket], list[socket.socket]]:
        """The sockets of the role's workers and of its control process; on a proxy host that tells how it does."""
        server = snapshot.server
        data_sockets = [] if self._role == "control" else sockets.listen_for_workers(server.listen, server.workers)
        control_sockets = [sockets.listen(server.control)]
        if server.portal is not None and self._role != "proxy":
            control_sockets.append(sockets.listen(server.portal))
        return data_sockets, control_sockets

    def _wait(self, table: ProcessTable, children: list[Child], seconds: float, wakeup: int) -> None:
        """Until all of these are ready, for so long at most, or the end is asked for."""
        deadline = time.monotonic() + seconds
        while not (all(child.is_ready for child in children) or self._stopping or time.monotonic() > deadline):
            self._turn(table, wakeup)

    def _turn(self, table: ProcessTable, wakeup: int) -> None:
        table.wait_events(TICK, wakeup)
        table.reap()
        if not self._announced and any(child.refused for child in table.children):
            self._code, self._stopping = EXIT_REFUSED, True  # later, the others serve on: records wait in the spool
        if not self._stopping:
            table.restart_due()

    @contextlib.contextmanager
    def _signals(self) -> Iterator[int]:
        """Turn signals into bytes on a pipe, so that ``select`` sees them."""
        read_fd, write_fd = os.pipe()
        os.set_blocking(write_fd, False)
        os.set_blocking(read_fd, False)
        before = signal.set_wakeup_fd(write_fd, warn_on_full_buffer=False)
        handlers = {
            signal.SIGTERM: self._stop,
            signal.SIGINT: self._stop,
            signal.SIGHUP: lambda *_: self._reloader.request(),
            signal.SIGCHLD: lambda *_: None,
        }
        previous = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        try:
            yield read_fd
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(before)
            os.close(read_fd)
            os.close(write_fd)

    def _stop(self, *_: object) -> None:
        self._stopping = True


def refuse_unserved(snapshot: Snapshot, role: str) -> None:
    """Refuse before anything starts: stores that this build cannot open, and roles on stores of one host (§33)."""
    store, counters = snapshot.store_url.partition(":")[0], snapshot.counters_url.partition(":")[0]
    faults = []
    if role != "all" and (store == "sqlite" or counters == "mmap"):
        what = "store.url sqlite:" if store == "sqlite" else "counters.url mmap:"
        faults.append(Fault("", 0, "", f"serve --role {role} needs stores that hosts share; {what} is of one host"))
    if faults:
        raise ConfigError(faults)
