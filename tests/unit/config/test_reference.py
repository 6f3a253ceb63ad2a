"""Every field of the schema is in the reference page, with its default where the contract gives one."""

import re
from pathlib import Path

import pytest

from gateway.config import billing_schema, limit_schema, people_schema, schema, traffic_schema
from gateway.config.defaults import DEFAULTS
from gateway.config.diff import RESTART

PAGE = (Path(__file__).parents[3] / "docs" / "configuration.md").read_text()
BLOCKS = [
    block
    for module in (schema, limit_schema, billing_schema, traffic_schema, people_schema)
    for block in vars(module).values()
    if isinstance(block, type) and issubclass(block, schema.Strict) and block.__module__ == module.__name__
]


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.__name__)
def test_fields_are_documented(block: type[schema.Strict]) -> None:
    words = {word for code in re.findall(r"`([^`\n]+)`", PAGE) for word in re.findall(r"[a-z_]+", code)}
    missing = {field.alias or name for name, field in block.model_fields.items()} - words
    assert not missing


def test_defaults_are_documented() -> None:
    rows = dict(re.findall(r"^\| `([a-z_.]+)`(?: ↻)? \| (.*?) \|", PAGE, re.M))
    for section, value in DEFAULTS.items():
        fields = value.items() if isinstance(value, dict) and value else [("", value)]
        for name, default in fields:
            path = f"{section}.{name}" if name else section
            if path in rows and isinstance(default, str | int) and default and path != "server.public_url":
                assert rows[path] == f"`{default}`"


def test_what_waits_for_a_restart_is_marked() -> None:
    marked = {tuple(path.split(".")) for path in re.findall(r"^\| `([a-z_.]+)` ↻", PAGE, re.M)}
    assert marked == set(RESTART)
