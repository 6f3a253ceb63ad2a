"""Compiled forms of the hot modules: used where somebody made them of these very sources, else the sources are.

``make compile`` puts them into ``gateway/_compiled/<tag>``, one folder made by one rename. The tag is a checksum of the
interpreter's version and of every source file of the package, so what was made of other sources is never found. A
worker asks before it imports anything else; every other process reads the sources.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from hashlib import sha256
from importlib.abc import MetaPathFinder
from importlib.machinery import EXTENSION_SUFFIXES, ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType

PACKAGE = Path(__file__).resolve().parent
FOLDER = "_compiled"
LIBRARY = "gateway_hot__mypyc"
"""The module that holds the code of all others."""
SETTING = "GATEWAY_COMPILED"


def tag_of(package: Path) -> str:
    """What a compiled form must have been made of to be used: this interpreter, and these sources."""
    digest = sha256(f"{sys.version}\n{EXTENSION_SUFFIXES[0]}\n".encode())
    for path in sorted(package.rglob("*.py")):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(package).as_posix()}\n{len(content)}\n".encode() + content)
    return digest.hexdigest()[:32]


class CompiledModules(MetaPathFinder):
    """Finds modules in one folder, by their whole names."""

    def __init__(self, folder: Path) -> None:
        self.places: Mapping[str, Path] = {
            path.name.removesuffix(EXTENSION_SUFFIXES[0]): path for path in folder.glob(f"*{EXTENSION_SUFFIXES[0]}")
        }

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        place = self.places.get(fullname)
        return None if place is None else spec_from_file_location(fullname, place)


def use(package: Path = PACKAGE) -> str:
    """Have the compiled modules imported from now on. Returns what a log should say, empty where there is nothing.

    ``GATEWAY_COMPILED=off`` leaves them alone; ``require`` raises ``ImportError`` where there are none for these
    sources.
    """
    wish = os.environ.get(SETTING, "")
    if wish == "off" or not (wish == "require" or (package / FOLDER).is_dir()):
        return ""
    problem = _begin(package)
    if problem and wish == "require":
        raise ImportError(problem)
    return problem


def _begin(package: Path) -> str:
    folder = package / FOLDER / tag_of(package)
    if not folder.is_dir():
        return "the compiled modules are of other sources or another Python and are not used: make compile"
    finder = CompiledModules(folder)
    early = sorted(finder.places.keys() & sys.modules.keys())
    if early:
        return f"the compiled modules are not used: {early[0]} was imported before"
    sys.meta_path.insert(0, finder)
    try:
        __import__(LIBRARY)
    except ImportError as error:
        sys.meta_path.remove(finder)
        return f"the compiled modules cannot be loaded and are not used: {error}"
    return ""


def in_use() -> bool:
    """Whether this process runs compiled modules."""
    return LIBRARY in sys.modules
