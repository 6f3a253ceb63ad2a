"""Compiled modules are used for exactly the sources that they were made of, and else nothing changes."""

import ast
import os
import shutil
import subprocess
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

from gateway.compiled import FOLDER, LIBRARY, PACKAGE, SETTING, tag_of

PROGRAM = """
from gateway import compiled
print(repr(compiled.use()))
import gateway.proxy.call_ids as module
print(module.__file__)
print(len(module.CallIds().new(1_000_000)), compiled.in_use())
"""


def run(root: Path, wish: str = "", program: str = PROGRAM) -> list[str]:
    environment = {name: value for name, value in os.environ.items() if name != SETTING} | {"PYTHONPATH": str(root)}
    if wish:
        environment[SETTING] = wish
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False, cwd=root
    )
    return done.stdout.splitlines() if not done.returncode else [done.stderr.splitlines()[-1]]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A package of its own, small, with one module that could be compiled."""
    package = tmp_path / "gateway"
    (package / "proxy").mkdir(parents=True)
    for name in ("__init__.py", "compiled.py", "proxy/__init__.py", "proxy/call_ids.py"):
        shutil.copy(PACKAGE / name, package / name)
    return tmp_path


def pretend(tree: Path, content: bytes = b"no library") -> Path:
    """What a compilation leaves, with libraries that no loader takes."""
    folder = tree / "gateway" / FOLDER / tag_of(tree / "gateway")
    folder.mkdir(parents=True)
    for name in (LIBRARY, "gateway.proxy.call_ids"):
        (folder / f"{name}{EXTENSION_SUFFIXES[0]}").write_bytes(content)
    return folder


def test_without_a_compiled_form_the_sources_are_read_and_nothing_is_said(tree: Path) -> None:
    remark, file, made = run(tree)
    assert (remark, made) == ("''", "16 False")
    assert file.endswith("call_ids.py")


def test_what_cannot_be_loaded_is_not_used_and_the_log_says_why(tree: Path) -> None:
    pretend(tree)
    remark, file, made = run(tree)
    assert "cannot be loaded" in remark
    assert file.endswith("call_ids.py")
    assert made == "16 False"


@pytest.mark.parametrize("change", ["edit", "add", "remove", "rename"])
def test_a_compiled_form_of_other_sources_is_not_found(tree: Path, change: str) -> None:
    package = tree / "gateway"
    (package / "other.py").write_text("A = 1\n")
    pretend(tree)
    assert "cannot be loaded" in run(tree)[0]  # found so far
    match change:
        case "edit":
            (package / "other.py").write_text("A = 2\n")
        case "add":
            (package / "proxy" / "more.py").write_text("")
        case "remove":
            (package / "other.py").unlink()
        case "rename":
            (package / "other.py").rename(package / "another.py")
    remark, file, _ = run(tree)
    assert "other sources" in remark
    assert file.endswith("call_ids.py")


def test_off_leaves_them_alone_and_require_insists(tree: Path) -> None:
    pretend(tree)
    assert run(tree, "off")[0] == "''"
    assert "cannot be loaded" in run(tree, "require")[0]
    shutil.rmtree(tree / "gateway" / FOLDER)
    assert run(tree, "require")[0].startswith("ImportError: the compiled modules are of other sources")


def test_a_module_imported_too_early_keeps_all_of_them_out(tree: Path) -> None:
    pretend(tree)
    assert "was imported before" in run(tree, program="import gateway.proxy.call_ids" + PROGRAM)[0]


def test_the_modules_to_compile_are_there_and_hold_nothing_that_the_compiler_refuses() -> None:
    script = PACKAGE.parent / "scripts" / "compile"
    listed = subprocess.run(
        [sys.executable, script, "--list"], capture_output=True, text=True, check=True
    ).stdout.split()
    assert len(listed) > 30
    for name in listed:
        source = (PACKAGE.parent / name).read_text()
        assert "slots=True" not in source, f"{name}: mypyc cannot compile dataclasses with slots (ADR-0002)"
        fixed = [
            ast.unparse(one.target)
            for one in ast.parse(source).body
            if isinstance(one, ast.AnnAssign) and isinstance(one.value, ast.Tuple) and "..." not in ast.unparse(one)
        ]
        assert not fixed, f"{name}: {fixed} would be read as unset; annotate as Final[tuple[T, ...]] (ADR-0002)"


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
def test_a_real_compilation_is_used_until_a_source_changes(tree: Path) -> None:
    (tree / "scripts").mkdir()
    script = PACKAGE.parent / "scripts" / "compile"
    program = f"""
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
loader = SourceFileLoader("compile_script", {str(script)!r})
module = module_from_spec(spec_from_loader("compile_script", loader))
sys.dont_write_bytecode = True
loader.exec_module(module)
module.build(Path("gateway").resolve(), ["gateway/proxy/call_ids.py"], "-O0")
"""
    made = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tree,
        env=os.environ | {"PYTHONPATH": str(tree)},
        capture_output=True,
        text=True,
    )
    assert made.returncode == 0, made.stderr[-2000:]
    remark, file, answer = run(tree, "require")
    assert (remark, answer) == ("''", "16 True")
    assert file.endswith(EXTENSION_SUFFIXES[0])
    source = tree / "gateway" / "proxy" / "call_ids.py"
    before = source.read_text()
    source.write_text(before.replace("_TAIL: Final = 10", "_TAIL: Final = 11"))
    assert source.read_text() != before
    remark, file, answer = run(tree)
    assert "other sources" in remark
    assert file.endswith("call_ids.py")
    assert answer == "17 False"
