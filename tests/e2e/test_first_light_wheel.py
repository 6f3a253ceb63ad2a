"""The wheel has all that a checkout has: built, installed in an empty environment elsewhere, the demo runs."""

import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
from support.demo import DemoProcess, move_ports, run_command

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
FOREIGN = ("tests/", "docs/", "benchmarks/", "data/", ".venv/", "scripts/")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    # No isolation: the build backend is one of the test extras, so nothing is downloaded here.
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(folder)]
    done = subprocess.run([*command, str(ROOT)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new environment with the wheel; the dependencies are borrowed by path, to download nothing."""
    folder = tmp_path_factory.mktemp("elsewhere") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    packages = next(folder.glob("lib/python*/site-packages"))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder


def test_it_holds_the_data_files_and_nothing_foreign(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    tracked = subprocess.run(
        ["git", "ls-files", "gateway", "templates", "static", "config", "plugins", "gateway.yaml"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    expected = {name if name.startswith("gateway/") else f"gateway/_data/{name}" for name in tracked}
    assert expected - names == set()
    assert not [name for name in names if name.startswith(FOREIGN)]


def test_the_demo_runs_from_it(environment: Path, tmp_path: Path) -> None:
    move_ports(tmp_path)
    script = "import sys; sys.argv[0] = 'gateway'; from gateway.cli.main import main; main()"
    demo = DemoProcess([str(environment / "bin" / "python"), "-c", script, "demo"], tmp_path)
    try:
        demo.wait_for_card()
        assert run_command(demo.commands[0]).startswith("HTTP/1.1 200")
        where = subprocess.run(
            [str(environment / "bin" / "python"), "-c", "import gateway; print(gateway.__file__)"],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            check=True,
        )
        assert where.stdout.startswith(str(environment))
    finally:
        demo.interrupt()
