"""The process table: starts children by exec, hears when they are ready, restarts the dead with back-off, ends them."""

import contextlib
import logging
import os
import select
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from gateway.config.snapshot import Snapshot
from gateway.runtime.child import REFUSED, ChildSpec

logger = logging.getLogger(__name__)

BACKOFF_FIRST = 0.1
BACKOFF_MOST = 5.0
STEADY_AFTER = 5.0


@dataclass
class Child:
    """One place in the process table: who runs there, since when, and when it may start again."""

    name: str
    module: str
    slot: int = 0
    sockets: tuple[socket.socket, ...] = ()
    process: subprocess.Popen[bytes] | None = None
    ready_fd: int = -1
    go_fd: int = -1
    is_ready: bool = False
    refused: bool = False
    started: float = 0.0
    start_at: float = 0.0
    backoff: float = BACKOFF_FIRST
    restarts: int = field(default=0)


class ProcessTable:
    """Starts, watches and ends children. One thread, one ``select``; no asyncio."""

    def __init__(self, snapshot: Snapshot, config_path: Path, log_level: str, role: str = "all") -> None:
        self._snapshot = snapshot
        self._config_path = config_path
        self._log_level = log_level
        self._role = role
        self._lifeline_read, self._lifeline_write = os.pipe()
        self.children: list[Child] = []

    def start(self, child: Child, *, held: bool = False) -> None:
        """Start a child by exec; it inherits its sockets, the lifeline and a pipe to say that it is ready.

        ``held``: it loads its code meanwhile, and begins at ``release``.
        """
        ready_read, ready_write = os.pipe()
        go_read, child.go_fd = os.pipe() if held else (-1, -1)
        spec = ChildSpec(
            name=child.name,
            data_dir=str(self._snapshot.data_dir),
            config_path=str(self._config_path),
            lifeline=self._lifeline_read,
            ready=ready_write,
            slot=child.slot,
            listen=tuple(s.fileno() for s in child.sockets),
            log_level=self._log_level,
            go=go_read,
            role=self._role,
        )
        child.process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-m", child.module, msgspec.json.encode(spec).decode()],
            pass_fds=(self._lifeline_read, ready_write, *spec.listen, *((go_read,) if held else ())),
            stdin=subprocess.DEVNULL,
        )
        os.close(ready_write)
        if held:
            os.close(go_read)
        child.ready_fd, child.is_ready, child.started = ready_read, False, time.monotonic()
        if child not in self.children:
            self.children.append(child)

    def release(self, children: list[Child]) -> None:
        """Let held children begin."""
        for child in children:
            if child.go_fd >= 0:
                os.close(child.go_fd)  # the child reads the end of it
                child.go_fd = -1

    def wait_events(self, timeout: float, wakeup: int) -> None:
        """Wait for a signal, a child's word, or the timeout; then note who is ready."""
        by_fd = {child.ready_fd: child for child in self.children if child.ready_fd >= 0}
        readable, _, _ = select.select([wakeup, *by_fd], [], [], timeout)
        for fd in readable:
            if fd == wakeup:
                with contextlib.suppress(BlockingIOError):
                    os.read(wakeup, 4096)
                continue
            child = by_fd[fd]
            child.is_ready = os.read(fd, 16).startswith(b"ready")
            os.close(fd)
            child.ready_fd = -1

    def reap(self) -> None:
        """Notice the dead, and decide when each may start again: at once after a steady life, else with back-off."""
        for child in self.children:
            if child.process is None or child.process.poll() is None:
                continue
            code, lived = child.process.returncode, time.monotonic() - child.started
            child.process, child.is_ready, child.refused = None, False, code == REFUSED
            if child.ready_fd >= 0:
                os.close(child.ready_fd)
                child.ready_fd = -1
            self.release([child])
            child.backoff = BACKOFF_FIRST if lived > STEADY_AFTER else min(child.backoff * 2, BACKOFF_MOST)
            child.start_at = time.monotonic() + (0 if lived > STEADY_AFTER else child.backoff)
            child.restarts += 1
            logger.warning("child ended; it will be restarted", extra={"child": child.name, "code": code})

    def restart_due(self) -> None:
        """Start again the children whose back-off is over."""
        for child in self.children:
            if child.process is None and time.monotonic() >= child.start_at:
                self.start(child)

    def stop(self, children: list[Child], timeout: float) -> None:
        """SIGTERM, wait for the drain, and SIGKILL what is left after ``timeout`` seconds."""
        running = [child for child in children if child.process is not None]
        for child in running:
            if child.process is not None:
                child.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + timeout
        for child in running:
            if child.process is None:
                continue
            try:
                child.process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                logger.warning("child did not drain in time; killed", extra={"child": child.name})
                child.process.kill()
                child.process.wait()

    def close(self) -> None:
        os.close(self._lifeline_write)
        os.close(self._lifeline_read)
