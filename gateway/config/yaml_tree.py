"""YAML text to plain values that remember their lines.

Scalars follow the YAML 1.2 core schema, so that ``headers: off`` is a word and ``007`` or ``2024-01-01`` are text
(YAML 1.1 reads a boolean, an octal number and a date there). Keys are always text; a key given twice is a fault.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import yaml

from gateway.config.environment import substitute
from gateway.errors import Fault

FieldPath = tuple[str | int, ...]
MAX_NODES = 5_000_000
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*(_[0-9]+)*)", re.ASCII)
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", re.ASCII)
_CONSTANTS: dict[str, bool | None] = {"": None, "~": None}
_CONSTANTS |= dict.fromkeys(("null", "Null", "NULL"))
_CONSTANTS |= dict.fromkeys(("true", "True", "TRUE"), True) | dict.fromkeys(("false", "False", "FALSE"), False)
_TAGS = frozenset(("map", "seq", "str", "null", "bool", "int", "float", "timestamp", "merge", "value"))
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Mark:
    """Where something is written; ``line`` counts from 1."""

    file: str
    line: int


@dataclass(slots=True)
class Tree:
    """What one file, or several merged ones, say.

    ``marks`` holds the place of every field; ``filled`` the fields whose value came from the environment, which are
    never printed.
    """

    value: object = None
    marks: dict[FieldPath, Mark] = field(default_factory=dict)
    filled: set[FieldPath] = field(default_factory=set)
    faults: list[Fault] = field(default_factory=list)


def plain_scalar(text: str) -> object:
    """The value of an unquoted scalar by the YAML 1.2 core schema (and ``1_000_000``, which people write)."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if len(text) <= 40 and _INTEGER.fullmatch(text):
        return int(text)
    if len(text) <= 40 and _FLOAT.fullmatch(text) and not re.fullmatch(r"[-+]?0[0-9]+", text):
        return float(text)
    return text


def read_yaml(text: str, file: str, environ: Mapping[str, str]) -> Tree:
    """Read one document; whatever is wrong with it is in ``faults`` and the rest is still there."""
    reader = _Reader(file, environ)
    try:
        node = yaml.compose(text, Loader=_Loader)
        if node is not None:
            reader.tree.value = reader.convert(node, ())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reader.fault(mark.line + 1 if mark else 0, (), f"not valid YAML: {_words(error)}")
    except yaml.YAMLError as error:
        reader.fault(0, (), f"not valid YAML: {' '.join(str(error).split())}")
    except RecursionError:
        reader.fault(0, (), "nested too deeply, or an alias that contains itself")
    return reader.tree


def _words(error: yaml.MarkedYAMLError) -> str:
    problem = (error.problem or "cannot be read").strip()
    if "character '\\t'" in problem or "'\\t' that cannot start" in problem or "found character that cannot" in problem:
        return "a tab or another character that cannot start a value; indent with spaces"
    return problem


class _Reader:
    def __init__(self, file: str, environ: Mapping[str, str]) -> None:
        self.tree = Tree()
        self._file = file
        self._environ = environ
        self._nodes = 0

    def fault(self, line: int, path: FieldPath, message: str) -> None:
        self.tree.faults.append(Fault(self._file, line, dotted(path), message))

    def convert(self, node: yaml.Node, path: FieldPath) -> object:
        self._nodes += 1
        if self._nodes > MAX_NODES:  # aliases of aliases ("billion laughs") end here
            raise yaml.YAMLError("more than five million values")
        self.tree.marks.setdefault(path, Mark(self._file, node.start_mark.line + 1))
        if node.tag.removeprefix("tag:yaml.org,2002:") not in _TAGS:
            self.fault(node.start_mark.line + 1, path, f"tags such as {node.tag} are not supported")
            return None
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.convert(item, (*path, index)) for index, item in enumerate(node.value)]
        assert isinstance(node, yaml.MappingNode)
        return self._mapping(node, path)

    def _scalar(self, node: yaml.ScalarNode, path: FieldPath) -> object:
        text, filled, problems = substitute(node.value, self._environ)
        for problem in problems:
            self.fault(node.start_mark.line + 1, path, problem)
        if filled:
            self.tree.filled.add(path)
        return plain_scalar(text) if not node.style else text

    def _mapping(self, node: yaml.MappingNode, path: FieldPath) -> dict[str, object]:
        values: dict[str, object] = {}
        lines: dict[str, int] = {}
        merged: list[yaml.Node] = []
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                self.fault(line, path, "a field's name must be plain text")
            elif key.value == "<<" and not key.style:
                merged.extend(value.value if isinstance(value, yaml.SequenceNode) else [value])
            elif key.value in lines:
                message = f"given twice; first at {self._file}:{lines[key.value]}"
                self.fault(line, (*path, key.value), message)
            else:
                lines[key.value] = line
                self.tree.marks[(*path, key.value)] = Mark(self._file, line)
                values[key.value] = self.convert(value, (*path, key.value))
        for source in merged:
            self._merge(source, path, values)
        return values

    def _merge(self, source: yaml.Node, path: FieldPath, values: dict[str, object]) -> None:
        """``<<: *base``: fields of the base that the mapping does not give itself."""
        if not isinstance(source, yaml.MappingNode):
            self.fault(source.start_mark.line + 1, path, "<< takes a map")
            return
        kept = yaml.MappingNode(
            source.tag,
            [pair for pair in source.value if pair[0].value not in values],
            source.start_mark,
            source.end_mark,
        )
        values |= self._mapping(kept, path)


def dotted(path: FieldPath) -> str:
    """``plans.free.limits[0].max``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text
