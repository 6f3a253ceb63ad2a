"""The schema's and the cross checks' verdicts as faults: file, line, field path, people's words, nearest name."""

import re
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from gateway.config.checks import Problem, cross_check, known_names
from gateway.config.nearest import hint
from gateway.config.repair import ROUNDS, repaired
from gateway.config.schema import Document
from gateway.config.yaml_tree import FieldPath, Mark, Tree, dotted, plain_scalar
from gateway.errors import Fault

SECRET_FIELDS = frozenset({("accounts", "secret"), ("mail", "url"), ("store", "url"), ("counters", "url")})
_WANTED = {
    "int": "a whole number",
    "string": "text (put it in quotes)",
    "bool": "true or false",
    "list": "a list",
    "dict": "a map of fields",
    "model": "a map of fields",
    "float": "a number",
    "decimal": "a number",
}
_ABSENT = object()


def validate(document: dict[str, object], tree: Tree, folder: Path) -> tuple[Document | None, list[Fault]]:
    """The checked document, or None, and every fault. Cross checks run on what the schema accepts as a whole."""
    try:
        valid = Document.model_validate(document)
    except ValidationError as error:
        if _retype(error, document, tree):
            return validate(document, tree, folder)
        problems = list(_problems(error, document))
        problems += _checks_of_the_rest(document, [path for path, _ in problems], folder)
        return None, [_fault(path, message, document, tree) for path, message in problems]
    problems = list(cross_check(valid, known_names(document), folder))
    return valid, [_fault(path, message, document, tree) for path, message in problems]


def _retype(error: ValidationError, document: dict[str, object], tree: Tree) -> bool:
    """Read ``"${N}"`` as a number or truth where one is wanted: quotes are needed within ``{…}``, and say nothing."""
    changed = False
    for details in error.errors(include_url=False):
        path = _written_path(details["loc"], document, keep_last=False)
        wanted = {"int_type": int, "bool_type": bool}.get(details["type"])
        value, container = _value_at(document, path), _value_at(document, path[:-1])
        typed = plain_scalar(value) if isinstance(value, str) and path in tree.filled else None
        if wanted is not None and type(typed) is wanted and isinstance(container, dict):
            container[path[-1]] = typed
            changed = True
    return changed


def _checks_of_the_rest(document: dict[str, object], wrong: list[FieldPath], folder: Path) -> list[Problem]:
    """Cross-check the entries that are right by themselves, so that every fault is reported at once."""
    rest = document
    for attempt in range(ROUNDS):
        rest = repaired(rest, wrong, attempt)
        try:
            valid = Document.model_validate(rest)
        except ValidationError as error:
            wrong = [path for path, _ in _problems(error, rest)]
        else:
            return list(cross_check(valid, known_names(document), folder))
    return []


def _problems(error: ValidationError, document: Mapping[str, object]) -> Iterator[tuple[FieldPath, str]]:
    for details in error.errors(include_url=False):
        path = _written_path(details["loc"], document, keep_last=details["type"] == "missing")
        yield path, _message(details)


def _written_path(loc: tuple[str | int, ...], document: object, *, keep_last: bool) -> FieldPath:
    """``loc`` without the parts that pydantic adds for unions and map keys: what the person wrote."""
    path: list[str | int] = []
    value: object = document
    for index, part in enumerate(loc):
        written = _value_at(value, (part,), absent=_ABSENT)
        if written is not _ABSENT:
            value = written
        elif not (keep_last and index == len(loc) - 1):
            continue
        path.append(part)
    return tuple(path)


def _message(details: ErrorDetails) -> str:
    kind, context = details["type"], details.get("ctx", {})
    match kind:
        case "missing":
            return "is required"
        case "extra_forbidden":
            return f"unknown field{hint(str(details['loc'][-1]), _fields_beside(details['loc']))}"
        case "value_error":
            return str(context["error"])
        case "literal_error":
            return f"expected {context['expected']}, found {_described(details['input'], quote=True)}"
        case "union_tag_invalid":
            near = hint(str(context["tag"]), re.findall(r"'([^']*)'", context["expected_tags"]))
            return f"unknown {context['discriminator'].strip(chr(39))} '{context['tag']}'{near}"
        case "union_tag_not_found":
            return f"needs a {str(context['discriminator']).strip(chr(39))}"
        case "greater_than_equal":
            return f"must be at least {context['ge']}"
        case "less_than_equal":
            return f"must be at most {context['le']}"
        case "too_short" | "string_too_short":
            return "must not be empty"
        case "too_long" | "string_too_long":
            return f"is longer than {context['max_length']}"
    wanted = _WANTED.get(kind.removesuffix("_type").removesuffix("_attributes"))
    if wanted is not None and kind.endswith("_type"):
        return f"expected {wanted}, found {_described(details['input'])}"
    return details["msg"]


def _described(value: object, *, quote: bool = False) -> str:
    match value:
        case None:
            return "nothing"
        case bool():
            return "true" if value else "false"
        case int():
            return f"the number {value}" if quote else "a whole number"
        case float():
            return "a number with a fraction"
        case str():
            return f"'{value[:60]}'" if quote else "text"
        case list():
            return "a list"
    return "a map"


def _fields_beside(loc: tuple[str | int, ...]) -> set[str]:
    """The field names that are valid where ``loc`` ends, by walking the schema."""
    places: list[Any] = [Document]
    for part in loc[:-1]:
        places = [inner for place in places for inner in _inside(place, part)]
    return {
        field.alias or name
        for place in places
        if isinstance(place, type) and issubclass(place, BaseModel)
        for name, field in place.model_fields.items()
    } - ({"constant"} if "meters" in loc else set())


def _inside(place: Any, part: str | int) -> list[Any]:
    """The types that ``part`` leads to: a field, a map's value, a list's item, or a member of a union by its tag."""
    if isinstance(place, type) and issubclass(place, BaseModel):
        for name, field in place.model_fields.items():
            if part == (field.alias or name):
                return _members(field.annotation)
            if name == "type" and part in get_args(field.annotation):
                return [place]
        return []
    return _members(get_args(place)[-1]) if get_origin(place) in (dict, list) else []


def _members(annotation: Any) -> list[Any]:
    """An annotation as the plain types it may be."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _members(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        return [member for choice in get_args(annotation) for member in _members(choice)]
    return [] if origin is Literal or annotation is type(None) else [annotation]


def _fault(path: FieldPath, message: str, document: object, tree: Tree) -> Fault:
    """Place the fault at its field, or at the nearest block around it that was written; never tell a secret."""
    mark = next((tree.marks[path[:end]] for end in range(len(path), -1, -1) if path[:end] in tree.marks), Mark("", 0))
    value = _value_at(document, path)
    if isinstance(value, str) and value and (path in tree.filled or path in SECRET_FIELDS):
        message = message.replace(value, "(hidden)").replace(value[:60], "(hidden)")
    return Fault(mark.file, mark.line, dotted(path), message)


def _value_at(document: object, path: FieldPath, absent: object = None) -> object:
    value: Any = document
    for part in path:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            return absent
    return value
