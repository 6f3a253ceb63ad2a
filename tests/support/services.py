"""Real services that the tests start themselves, on free ports and in folders of their own."""

import contextlib
import glob
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PROGRAMS = {
    "redis-server": ("redis-server",),
    "postgresql": ("/usr/lib/postgresql/*/bin/initdb", "initdb"),
    "chromium": (
        "chromium",
        "chromium-browser",
        "google-chrome",
        "~/.cache/ms-playwright/chromium*/*/chrome-headless-shell",
        "~/.cache/ms-playwright/chromium*/*/headless_shell",
        "~/.cache/ms-playwright/chromium*/*/chrome",
    ),
}


def free_port() -> int:
    """A TCP port of 127.0.0.1 that was free a moment ago, below those that connections to elsewhere come from."""
    while True:
        port = random.SystemRandom().randrange(10_000, 32_000)
        with socket.socket() as listener, contextlib.suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port


def find_program(service: str) -> str | None:
    """The path of a service's program, or None when it is not installed."""
    for pattern in PROGRAMS[service]:
        if "/" in pattern:
            found = sorted(glob.glob(os.path.expanduser(pattern)))
            if found:
                return found[-1]
        elif path := shutil.which(pattern):
            return path
    return None


def require_service(service: str) -> str:
    """The path of a service's program; skips the test without it, or fails it when REQUIRE_SERVICES=1."""
    path = find_program(service)
    if path is not None:
        return path
    message = f"{service} is not installed (scripts/services installs it)"
    if os.environ.get("REQUIRE_SERVICES") == "1":
        pytest.fail(message, pytrace=False)
    pytest.skip(message)


def wait_until(ready: Callable[[], bool], what: str, timeout: float = 30.0) -> None:
    """Poll until ``ready()``; fails the test naming ``what`` after ``timeout`` seconds."""
    end = time.monotonic() + timeout
    while not ready():
        if time.monotonic() > end:
            pytest.fail(f"{what} did not happen within {timeout:g} s", pytrace=False)
        time.sleep(0.02)


def accepts(port: int) -> bool:
    """Whether something listens on this port of 127.0.0.1."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def stop_process(process: subprocess.Popen[bytes], timeout: float = 15.0) -> int:
    """Terminate a process that we started, kill it when it does not end, and return its exit code."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
    return process.wait()


@dataclass
class RedisServer:
    """A running redis-server. A test may stop, freeze or kill ``process``; ``start()`` starts it again, empty."""

    port: int
    folder: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start the server and wait until it accepts."""
        program = require_service("redis-server")
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self.process = subprocess.Popen(
            [program, *options, "--dir", str(self.folder), "--logfile", str(self.folder / "redis.log")]
        )
        wait_until(lambda: accepts(self.port), "redis-server's start")

    def stop(self) -> None:
        if self.process is not None:
            stop_process(self.process)
            self.process = None


@contextlib.contextmanager
def running_redis() -> Iterator[RedisServer]:
    """A redis-server of our own."""
    require_service("redis-server")
    with tempfile.TemporaryDirectory(prefix="gateway-redis-") as folder:
        server = RedisServer(free_port(), Path(folder))
        server.start()
        try:
            yield server
        finally:
            server.stop()


class PostgresServer:
    """A running PostgreSQL cluster with fsync off. As root it runs as user ``postgres``: initdb refuses root."""

    def __init__(self, folder: Path) -> None:
        self.bin = Path(require_service("postgresql")).parent
        self.folder = folder
        self.port = free_port()
        self.user = "postgres"
        self.process: subprocess.Popen[bytes] | None = None
        self.as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        if self.as_user:
            shutil.chown(folder, "postgres")

    def initialise(self) -> None:
        """Make the cluster."""
        command = [str(self.bin / "initdb"), "-D", str(self.folder / "data"), "-U", self.user, "-A", "trust", "-N"]
        self._run([*command, "-E", "UTF8", "--locale=C"])

    def start(self) -> None:
        """Start the server and wait until it answers queries."""
        settings = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": "60"}
        settings |= {"listen_addresses": "127.0.0.1", "unix_socket_directories": str(self.folder)}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        command = [str(self.bin / "postgres"), "-D", str(self.folder / "data"), "-p", str(self.port), *options]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen([*self.as_user, *command], stderr=log, stdout=log, cwd=self.folder)
        wait_until(self._answers, "PostgreSQL's start")

    def stop(self) -> None:
        """Stop it at once (SIGQUIT to the postmaster: runuser passes no signal on)."""
        if self.process is None:
            return
        subprocess.run(
            [*self.as_user, str(self.bin / "pg_ctl"), "-D", str(self.folder / "data"), "-m", "immediate", "stop"],
            stdout=subprocess.DEVNULL,
            cwd=self.folder,
            check=False,
        )
        stop_process(self.process)
        self.process = None

    def kill(self) -> None:
        """``kill -9`` of the postmaster; its children find it gone and end at once."""
        assert self.process is not None
        pid = int((self.folder / "data" / "postmaster.pid").read_text().split()[0])
        os.kill(pid, signal.SIGKILL)
        self.process.wait()
        self.process = None
        wait_until(lambda: not _lives_in(self.folder / "data"), "the end of PostgreSQL's processes")

    def session(self, database: str, statement: str) -> subprocess.Popen[bytes]:
        """A client of its own that has run ``statement`` and stays until it is terminated."""
        address = ["-h", "127.0.0.1", "-p", str(self.port), "-U", self.user, "-d", database]
        process = subprocess.Popen(
            [str(self.bin / "psql"), "-qX", *address], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=self.folder
        )
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{statement}\n\\echo done\n".encode())
        process.stdin.flush()
        assert process.stdout.readline() == b"done\n"
        return process

    def create_database(self, name: str, template: str = "template1") -> str:
        """A new database, a copy of ``template``; returns its URL in the form that ``store.url`` takes."""
        self._psql(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return f"postgresql://{self.user}@127.0.0.1:{self.port}/{name}"

    def drop_database(self, name: str) -> None:
        self._psql(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def _answers(self) -> bool:
        command = [str(self.bin / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(command, check=False).returncode == 0

    def _psql(self, statement: str) -> None:
        command = [str(self.bin / "psql"), "-qX", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", str(self.port)]
        self._run([*command, "-U", self.user, "-d", "postgres", "-c", statement])

    def _run(self, command: list[str]) -> None:
        done = subprocess.run([*self.as_user, *command], capture_output=True, text=True, cwd=self.folder, check=False)
        if done.returncode:
            pytest.fail(f"{Path(command[0]).name}: {done.stderr.strip()}", pytrace=False)


def _lives_in(folder: Path) -> bool:
    """Whether a process of the cluster in ``folder`` is left (Linux: they work in it)."""
    for link in Path("/proc").glob("[0-9]*/cwd"):
        with contextlib.suppress(OSError):
            if link.readlink() == folder:
                return True
    return False


@contextlib.contextmanager
def running_postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL cluster of our own."""
    require_service("postgresql")
    with tempfile.TemporaryDirectory(prefix="gateway-pg-") as folder:
        server = PostgresServer(Path(folder))
        server.initialise()
        server.start()
        try:
            yield server
        finally:
            server.stop()
