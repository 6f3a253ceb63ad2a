"""A running ``gateway demo`` and what its card says."""

import os
import re
import signal
import subprocess
import threading
from pathlib import Path

import pytest
import yaml
from support.process import clean_environment
from support.services import free_port, wait_until

CARD_END = "Ctrl-C"


class DemoProcess:
    """``gateway demo`` in ``folder``, with its output as it came."""

    def __init__(self, command: list[str], folder: Path) -> None:
        self.lines: list[str] = []
        self.talk: list[str] = []
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        for stream, kept in ((self.process.stdout, self.lines), (self.process.stderr, self.talk)):
            threading.Thread(target=lambda s=stream, k=kept: k.extend(s), daemon=True).start()

    def wait_for_card(self) -> None:
        """Return when the whole card was printed; fails the test when the demo ends before."""
        wait_until(lambda: self._card_is_there() or self.process.poll() is not None, "the card", 60)
        if not self._card_is_there():
            pytest.fail(f"the demo ended with {self.process.wait()}:\n{self.errors}", pytrace=False)

    def _card_is_there(self) -> bool:
        return any(line.startswith(CARD_END) for line in self.lines)

    @property
    def errors(self) -> str:
        return "".join(self.talk)

    @property
    def output(self) -> str:
        """Everything it said: talk and log first, because the card comes when all is ready."""
        return self.errors + "".join(self.lines)

    @property
    def commands(self) -> list[str]:
        """The three curl lines."""
        return [line.strip() for line in self.lines if line.startswith("curl ")]

    @property
    def keys(self) -> list[str]:
        """The keys that stand on lines of their own, in order."""
        return [line.strip() for line in self.lines if re.fullmatch(r"gk_live_\w+\n", line)]

    @property
    def links(self) -> list[str]:
        """The portal's and the admin's one-time link."""
        return [line.strip() for line in self.lines if line.startswith("http://")]

    def interrupt(self) -> int:
        """Ctrl-C, as a terminal sends it: to the whole group; returns the exit code."""
        os.killpg(self.process.pid, signal.SIGINT)
        return self.process.wait(40)


def run_command(line: str) -> str:
    """Run a line of the card in a shell, as a visitor does, and return what it prints."""
    return subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=60, check=False).stdout


def move_ports(folder: Path) -> tuple[int, int]:
    """Give the demo in ``folder`` ports of its own, in a file that it keeps because it is there already."""
    home = folder / "data" / "demo"
    home.mkdir(parents=True, exist_ok=True)
    ports = free_port(), free_port()
    document = {
        "include": [f"config/{name}.yaml" for name in ("routes", "plans", "tenants")],
        "server": {"listen": f"127.0.0.1:{ports[0]}", "control": f"127.0.0.1:{ports[1]}"},
    }
    (home / "gateway.yaml").write_text(yaml.safe_dump(document))
    return ports
