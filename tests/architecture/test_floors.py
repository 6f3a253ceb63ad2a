"""The floors of DESIGN §4 hold, and the habits of §6 that a machine can see."""

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOMAINS = ("tenants", "routing", "quotas", "metering", "billing", "http")
CLOCKS = {("time", "time"), ("time", "time_ns"), ("time", "monotonic"), ("datetime", "now"), ("datetime", "utcnow")}
CLOCKS |= {("date", "today"), ("datetime", "today")}
DRAWERS = {"utils", "util", "helpers", "helper", "misc", "common_utils"}
MOST_LINES = 420  # "files under about 400 lines"


def sources(folder: str = "gateway") -> Iterator[Path]:
    yield from sorted((ROOT / folder).rglob("*.py"))


def layers() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    (contract,) = [one for one in project["tool"]["importlinter"]["contracts"] if one["type"] == "layers"]
    return {module.strip() for layer in contract["layers"] for module in layer.replace(":", "|").split("|")}


def test_imports_only_point_down() -> None:
    lint = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([str(lint), "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_every_room_has_its_floor() -> None:
    rooms = {f"gateway.{path.name}" for path in (ROOT / "gateway").iterdir() if (path / "__init__.py").exists()}
    assert rooms - layers() == set()


@pytest.mark.parametrize("domain", DOMAINS)
def test_domains_read_no_clock(domain: str) -> None:
    readings = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in sources(f"gateway/{domain}")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and (node.value.id, node.attr) in CLOCKS
    ]
    assert readings == []


def test_files_are_short_and_are_no_drawers() -> None:
    paths = [*sources(), *sources("plugins"), *sources("tests")]
    assert [path for path in paths if len(path.read_text().splitlines()) > MOST_LINES] == []
    assert [path for path in paths if path.stem in DRAWERS] == []


def test_every_module_says_what_belongs_there() -> None:
    texts = {path: path.read_text() for path in (*sources(), *sources("plugins"))}
    silent = [path for path, text in texts.items() if text and ast.get_docstring(ast.parse(text)) is None]
    assert silent == []


def test_plugins_know_only_the_hooks() -> None:
    for path in sources("plugins"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            inside = [name for name in names if name.split(".")[0] == "gateway"]
            assert all(name.startswith("gateway.hooks") for name in inside), path
