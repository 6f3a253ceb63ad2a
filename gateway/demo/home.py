"""The demo's folder, ``data/demo``: what is made once and kept, and which configuration file the demo runs.

Credentials are kept in clear text here, and here only, so that the card can print them again (0600, demo only).
"""

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.data_files import data_root
from gateway.errors import GatewayError

FOLDER = Path("data/demo")
OWN_DATA = """
# The demo keeps its data beside this file; commands with `-c data/demo/gateway.yaml` meet it.
data_dir: .
store: {url: "sqlite:///gateway.db"}
counters: {url: "mmap:///counters"}
"""


@dataclass(frozen=True, slots=True)
class DemoHome:
    """``folder`` is the demo's data directory; ``config`` what it runs; ``plans`` the file to edit, as one types it."""

    folder: Path
    config: Path
    plans: str

    def read(self, name: str) -> Any:
        """The JSON document ``name``, or None when it was never written."""
        path = self.folder / name
        try:
            return json.loads(path.read_bytes())
        except FileNotFoundError:
            return None
        except ValueError:
            raise GatewayError(f"{path} is damaged; 'make clean-demo' (rm -r {FOLDER}) makes the demo anew") from None

    def write(self, name: str, document: object) -> None:
        """Write the JSON document ``name`` whole or not at all, readable by its owner only."""
        path = self.folder / name
        fresh = path.with_name(f".{name}.new")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(document, file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)


def open_home(config: Path | None = None) -> DemoHome:
    """The demo's home below the current folder.

    Without ``config``: in a checkout the checkout's own ``gateway.yaml``, so that the files one sees are the files
    that run; elsewhere a copy of the packaged files in ``data/demo``, made once.
    """
    folder = Path.cwd() / FOLDER
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    root = data_root()
    if config is not None:
        return DemoHome(folder, config, str(config))
    if root == Path.cwd().resolve():
        return DemoHome(folder, root / "gateway.yaml", "config/plans.yaml")
    _copy_once(root, folder)
    return DemoHome(folder, folder / "gateway.yaml", str(FOLDER / "config" / "plans.yaml"))


def _copy_once(root: Path, folder: Path) -> None:
    """Copy what the configuration is made of; what is there already is the visitor's and stays."""
    for name in ("config", "plugins"):
        (folder / name).mkdir(exist_ok=True)
        for source in sorted((root / name).glob("*.*")):
            if source.suffix in (".yaml", ".py") and not (folder / name / source.name).exists():
                shutil.copyfile(source, folder / name / source.name)
    packaged, own = (root / "gateway.yaml").read_text("utf-8"), folder / "gateway.yaml"
    if not own.exists() or own.read_text("utf-8") == packaged:
        own.write_text(packaged.replace("\ndata_dir: data\n", OWN_DATA), "utf-8")
