"""From files to a ``Snapshot``: read, include, fill in the environment, validate, cross-check, compile."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gateway.config.compile import compile_document
from gateway.config.defaults import with_defaults
from gateway.config.snapshot import Snapshot
from gateway.config.validate import validate
from gateway.config.yaml_tree import FieldPath, Mark, Tree, dotted, read_yaml
from gateway.errors import ConfigError, Fault

MAX_FILE_BYTES = 64 << 20
Stamp = tuple[int, int, int]


def stamp(path: Path) -> Stamp:
    """What tells that a file changed: time, size, inode (editors that rename give a new one); zeros when missing."""
    try:
        stat = path.stat()
    except OSError:
        return 0, 0, 0
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


@dataclass(frozen=True, slots=True)
class Resolved:
    """All files as one document.

    ``files`` are those that were looked for, whether or not they could be read; ``stamps`` how they were before.
    """

    folder: Path
    document: dict[str, object]
    tree: Tree
    files: tuple[Path, ...]
    stamps: tuple[Stamp, ...]


def load(path: Path, environ: Mapping[str, str], overrides: Mapping[str, object] | None = None) -> Snapshot:
    """The configuration in ``path`` as version 0; raises ``ConfigError`` with every fault.

    ``overrides`` are dotted paths laid over the document, such as ``{"server.listen": "127.0.0.1:0"}``.
    """
    return compile_resolved(resolve(path, environ, overrides))


def compile_resolved(resolved: Resolved) -> Snapshot:
    """Validate and compile what ``resolve`` read; raises ``ConfigError`` with every fault, in file order."""
    faults = list(resolved.tree.faults)
    if not isinstance(resolved.tree.value, dict):
        raise ConfigError(faults)
    document, found = validate(resolved.document, resolved.tree, resolved.folder)
    faults += found
    if faults or document is None:
        order = {str(file): index for index, file in enumerate(resolved.files)}
        unique = dict.fromkeys(faults)
        raise ConfigError(sorted(unique, key=lambda fault: (order.get(fault.file, len(order)), fault.line)))
    return compile_document(document, resolved.document, resolved.folder, version=0)


def resolve(path: Path, environ: Mapping[str, str], overrides: Mapping[str, object] | None = None) -> Resolved:
    """Read ``path`` and what it includes; faults are collected in the tree, nothing is raised."""
    folder = path.resolve().parent
    files, stamps = [path], [stamp(path)]
    tree = _read(path, environ)
    if not isinstance(tree.value, dict):
        if not tree.faults:
            found = "is empty" if tree.value is None else "must hold a map of fields"
            tree.faults.append(Fault(str(path), 0, "", f"the configuration {found}"))
        return Resolved(folder, {}, tree, (path,), tuple(stamps))
    document: dict[str, object] = dict(tree.value)
    for index, name in enumerate(_included(document.pop("include", None), tree)):
        included = path.parent / name
        if included in files:
            tree.faults.append(_at(tree, ("include", index), f"{name} is included twice"))
            continue
        files.append(included)
        stamps.append(stamp(included))
        part = _read(included, environ)
        if part.value is None and part.faults and part.faults[0].line == 0:
            tree.faults.append(_at(tree, ("include", index), part.faults[0].message))
            continue
        tree.faults.extend(part.faults)
        _merge(document, tree, part, str(included))
    for name, value in (overrides or {}).items():
        _override(document, tree, tuple(name.split(".")), value)
    return Resolved(folder, with_defaults(document), tree, tuple(files), tuple(stamps))


def _read(path: Path, environ: Mapping[str, str]) -> Tree:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
        if len(data) > MAX_FILE_BYTES:
            return Tree(faults=[Fault(str(path), 0, "", "larger than 64 MiB")])
        text = data.decode("utf-8-sig")
    except OSError as error:
        return Tree(faults=[Fault(str(path), 0, "", f"cannot read {path}: {error.strerror or error}")])
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        return Tree(faults=[Fault(str(path), line, "", "not UTF-8 text")])
    return read_yaml(text, str(path), environ)


def _included(value: object, tree: Tree) -> list[str]:
    if value is None:
        return []
    if isinstance(value, list) and all(isinstance(name, str) and name for name in value):
        return list(value)
    tree.faults.append(_at(tree, ("include",), "expected a list of files, such as [config/routes.yaml]"))
    return []


def _merge(document: dict[str, object], tree: Tree, part: Tree, file: str) -> None:
    """Lay an included file beside the others: sections are merged, a name may be defined in one place only."""
    if part.value is None:
        return
    if not isinstance(part.value, dict):
        tree.faults.append(Fault(file, 1, "", "an included file must hold a map of fields"))
        return
    for section, value in part.value.items():
        if section == "include":
            mark = part.marks[("include",)]
            tree.faults.append(Fault(file, mark.line, "include", "only the main file may include others"))
            continue
        existing = document.get(section)
        if existing is None:
            document[section] = value
        elif isinstance(existing, dict) and isinstance(value, dict):
            merged = document[section] = dict(existing)
            for name, entry in value.items():
                if name in merged:
                    tree.faults.append(_twice(tree, part, (section, name)))
                    continue
                merged[name] = entry
        elif value is not None:
            tree.faults.append(_twice(tree, part, (section,)))
    tree.marks = part.marks | tree.marks
    tree.filled |= part.filled


def _twice(tree: Tree, part: Tree, path: FieldPath) -> Fault:
    first, second = tree.marks[path], part.marks[path]
    message = f"defined twice: here and at {first.file}:{first.line}"
    return Fault(second.file, second.line, dotted(path), message)


def _at(tree: Tree, path: FieldPath, message: str) -> Fault:
    mark = tree.marks.get(path) or tree.marks.get(path[:-1]) or Mark("", 0)
    return Fault(mark.file, mark.line, dotted(path), message)


def _override(document: dict[str, object], tree: Tree, path: tuple[str, ...], value: object) -> None:
    """Set one field; containers on the way are copied, so that nothing read from a file is changed."""
    inner = document
    for part in path[:-1]:
        existing = inner.get(part)
        inner[part] = dict(existing) if isinstance(existing, dict) else {}
        inner = inner[part]  # type: ignore[assignment]
    inner[path[-1]] = value
    tree.marks[path] = Mark("(command line)", 0)
