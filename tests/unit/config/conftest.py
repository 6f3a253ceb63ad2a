"""A small valid configuration to start from, and a way to load texts as files."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from gateway.config.loader import load
from gateway.config.snapshot import Snapshot
from gateway.errors import ConfigError

MINIMAL = """\
upstreams:
  api: {targets: ["http://127.0.0.1:9001"]}
routes:
  api: {match: {paths: ["/"]}, upstream: api}
plans:
  free: {limits: [{name: calls, max: 10, per: minute}]}
tenants:
  acme: {plan: free}
"""

Write = Callable[..., Path]
LoadText = Callable[..., Snapshot]
FaultsOf = Callable[..., list[str]]


@pytest.fixture
def minimal() -> str:
    return MINIMAL


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """``write({"gateway.yaml": "…", "config/x.yaml": "…"})`` or ``write("…")``: the main file's path."""

    def write_files(files: str | Mapping[str, str]) -> Path:
        named = {"gateway.yaml": files} if isinstance(files, str) else files
        for name, text in named.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path / "gateway.yaml"

    return write_files


@pytest.fixture
def load_text(write: Write) -> LoadText:
    def load_files(files: str | Mapping[str, str], environ: Mapping[str, str] | None = None) -> Snapshot:
        return load(write(files), environ or {})

    return load_files


@pytest.fixture
def faults_of(load_text: LoadText, tmp_path: Path) -> FaultsOf:
    """The faults as printed, with file names relative to the configuration's folder."""

    def collect(files: str | Mapping[str, str], environ: Mapping[str, str] | None = None) -> list[str]:
        try:
            load_text(files, environ)
        except ConfigError as error:
            return [str(fault).replace(f"{tmp_path}/", "") for fault in error.faults]
        return []

    return collect
