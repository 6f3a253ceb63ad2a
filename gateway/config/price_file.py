"""A file that holds one price, as `gateway rate` reads it: YAML or JSON, with every fault at its line."""

import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from gateway.billing.price import Price
from gateway.config.nearest import hint
from gateway.config.price_schema import (
    PRICE_MODELS,
    BasePrice,
    ConversionModel,
    DiscountModel,
    PercentagePrice,
    PercentTierModel,
    StairModel,
    StairstepPrice,
    TierModel,
    parse_price,
)
from gateway.config.yaml_tree import FieldPath, Tree, dotted, read_yaml
from gateway.errors import ConfigError, Fault

MAX_BYTES = 1 << 20


def read_price(data: bytes, file: str, environ: Mapping[str, str] | None = None) -> Price:
    """The price in ``data``, with ``${NAME}`` from ``environ``; raises ``ConfigError`` with every fault."""
    tree = _read(data, file, environ or {})
    if tree.faults:
        raise ConfigError(tree.faults)
    if not isinstance(tree.value, dict):
        raise ConfigError([Fault(file, 0, "", "must hold one price: a map with a type and its fields")])
    try:
        return parse_price(tree.value)
    except ValidationError as error:
        kind = str(tree.value.get("type"))
        faults = [_fault(details, kind, tree, file) for details in error.errors(include_url=False)]
        raise ConfigError(sorted(faults, key=lambda fault: fault.line)) from None


def _read(data: bytes, file: str, environ: Mapping[str, str]) -> Tree:
    if len(data) > MAX_BYTES:
        return Tree(faults=[Fault(file, 0, "", "larger than 1 MiB")])
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return Tree(faults=[Fault(file, 0, "", "not UTF-8 text")])
    if text.lstrip().startswith("{"):  # JSON may be indented by tabs, YAML not; no JSON string holds a line break
        text = re.sub(r"^\t+", lambda tabs: " " * len(tabs[0]), text, flags=re.MULTILINE)
    return read_yaml(text, file, environ)


def _fault(details: ErrorDetails, kind: str, tree: Tree, file: str) -> Fault:
    loc: FieldPath = details["loc"]
    path = loc[1:] if loc and loc[0] == kind and kind in PRICE_MODELS else loc
    if details["type"] == "union_tag_invalid":
        path = ("type",)
    number = details.get("ctx", {}).get("number")
    if isinstance(number, int):  # a fault of the tiers among themselves
        path = (*path, number - 1)
    place = path
    while place and place not in tree.marks:
        place = place[:-1]
    line = tree.marks[place].line if place in tree.marks else 0
    return Fault(file, line, dotted(path), words_of(details, kind, path))


def words_of(details: ErrorDetails, kind: str, path: FieldPath) -> str:
    """A validation error in human words; ``path`` starts inside the price, whose type is ``kind``."""
    context: dict[str, Any] = details.get("ctx", {})
    match details["type"]:
        case "extra_forbidden":
            return f"unknown field{hint(str(path[-1]), _schema_at(kind, path).model_fields)}"
        case "missing":
            return "is required"
        case "union_tag_not_found":
            return f"a price needs a type: {', '.join(PRICE_MODELS)}"
        case "union_tag_invalid":
            tag = str(context.get("tag"))
            return f"unknown price type '{tag}'{hint(tag, PRICE_MODELS)}"
        case "literal_error":
            return f"must be {context.get('expected')}"
        case "bool_type":
            return "must be true or false"
        case "model_type" | "model_attributes_type":
            return "must be a map of fields"
        case "list_type":
            return "must be a list"
        case "too_short" | "string_too_short":
            return "must not be empty"
        case "too_long" | "string_too_long":
            return f"is longer than {context['max_length']}"
        case "greater_than_equal":
            return f"must be at least {context['ge']}"
        case "less_than_equal":
            return f"must be at most {context['le']}"
        case "string_pattern_mismatch":
            return "must be a name: letters, digits, _ . and -, at most 64, starting with a letter or _"
        case "int_type" | "int_from_float":
            return "must be a whole number"
        case "string_type":
            return "must be text"
        case _:
            return details["msg"]


def _schema_at(kind: str, path: FieldPath) -> type[BaseModel]:
    """The model that the field at ``path`` belongs to."""
    price = PRICE_MODELS.get(kind, BasePrice)
    match path:
        case ("tiers", int(), _):
            if price is StairstepPrice:
                return StairModel
            return PercentTierModel if price is PercentagePrice else TierModel
        case ("convert", _):
            return ConversionModel
        case ("discount", _):
            return DiscountModel
        case _:
            return price
