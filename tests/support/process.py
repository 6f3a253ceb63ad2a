"""A gateway as users run it: ``gateway serve -c FILE`` in a process of its own, over a folder of its own."""

import hashlib
import http.client
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.services import accepts, free_port, stop_process, wait_until

GATEWAY = (sys.executable, "-m", "gateway")
KEY = "test-key-of-the-tenant-acme"


def key_hash(text: str) -> str:
    """A credential as YAML lists it."""
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def configuration(upstream: str, *, limits: list[dict[str, Any]] | None = None, workers: int = 1) -> dict[str, Any]:
    """A small whole configuration: everything under / goes to ``upstream``; the tenant ``acme`` has the key ``KEY``."""
    return {
        "server": {
            "listen": f"127.0.0.1:{free_port()}",
            "control": f"127.0.0.1:{free_port()}",
            "workers": workers,
        },
        "upstreams": {"main": {"targets": [upstream]}},
        "routes": {"main": {"match": {"paths": ["/"]}, "upstream": "main"}},
        "plans": {"basic": {"limits": limits or []}},
        "tenants": {"acme": {"name": "Acme", "plan": "basic", "keys": [{"id": "k1", "hash": key_hash(KEY)}]}},
    }


class GatewayProcess:
    """One running ``gateway serve``; its log is in ``folder/serve.log``."""

    def __init__(self, folder: Path, document: dict[str, Any]) -> None:
        self.folder = folder
        self.document = document
        self.config = folder / "gateway.yaml"
        self.listen = document["server"]["listen"]
        self.control = document["server"]["control"]
        self.process: subprocess.Popen[bytes] | None = None
        self.write()

    @property
    def url(self) -> str:
        return f"http://{self.listen}"

    @property
    def control_url(self) -> str:
        return f"http://{self.control}"

    @property
    def log(self) -> str:
        return (self.folder / "serve.log").read_text(errors="replace")

    def write(self) -> None:
        """Write the configuration file anew from ``document``, as an editor that replaces the file."""
        fresh = self.config.with_suffix(".new")
        fresh.write_text(yaml.safe_dump(self.document, sort_keys=False))
        fresh.replace(self.config)

    def start(self, *arguments: str) -> None:
        """Start and wait until it is ready to serve."""
        self._start(*arguments)
        wait_until(self._ready_or_dead, "the gateway's readiness", 90)
        self._check()

    def start_without_store(self, *arguments: str) -> None:
        """Start and wait until calls are answered, and the control listener accepts."""
        self._start(*arguments)
        port = int(self.control.rpartition(":")[2])
        wait_until(lambda: self._dead() or (self.answers() and accepts(port)), "the gateway's first answer", 90)
        self._check()

    def _start(self, *arguments: str) -> None:
        with (self.folder / "serve.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*GATEWAY, "serve", "-c", str(self.config), *arguments], stdout=log, stderr=log, cwd=self.folder
            )

    def _check(self) -> None:
        assert self.process is not None
        if self.process.poll() is not None:
            pytest.fail(f"gateway serve ended with {self.process.returncode}:\n{self.log[-4000:]}", pytrace=False)

    def stop(self) -> int:
        """SIGTERM, wait for the drain, and return the exit code."""
        assert self.process is not None
        code = stop_process(self.process)
        self.process = None
        return code

    def ready(self) -> bool:
        """Whether /readyz answers 200."""
        try:
            return self._get_status("/readyz") == 200
        except (OSError, http.client.HTTPException):
            return False

    def children(self, word: str = "") -> list[int]:
        """The pids of its child processes whose command line holds ``word``, oldest first (Linux)."""
        assert self.process is not None
        pid = self.process.pid
        listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [int(child) for child in listed if word in _command_line(int(child))]

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run another ``gateway`` command against the same configuration."""
        return subprocess.run(
            [*GATEWAY, *arguments, "-c", str(self.config)],
            capture_output=True,
            text=True,
            timeout=60,
            cwd=self.folder,
            check=False,
        )

    def command_json(self, *arguments: str) -> Any:
        """The parsed output of a command with ``--json``; fails the test when the command fails."""
        done = self.command(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def _dead(self) -> bool:
        assert self.process is not None
        return self.process.poll() is not None

    def _ready_or_dead(self) -> bool:
        return self._dead() or self.ready()

    def answers(self) -> bool:
        """Whether a call is answered; a refused key is an answer, and no record."""
        connection = http.client.HTTPConnection(self.listen, timeout=5)
        try:
            connection.request("GET", "/", headers={"X-API-Key": "nobody-knows-this-key"})
            return connection.getresponse().status == 401
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _get_status(self, path: str) -> int:
        host, _, port = self.control.rpartition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=2)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        finally:
            connection.close()


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def clean_environment() -> dict[str, str]:
    """The environment for a gateway that must not find the checkout: no PYTHONPATH, no virtual environment."""
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
