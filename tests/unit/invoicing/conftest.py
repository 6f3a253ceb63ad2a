"""A bench on each engine for every test of invoicing, and one on SQLite to compare with."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.billing_bench import Bench, opened

ON_BOTH = ("crashes", "cycles", "grace", "many_processes", "payments", "reconciled")
"""What `make test` runs on PostgreSQL too; `make prove` runs everything there."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if os.environ.get("PROVE") == "1":
        return
    here = Path(__file__).parent
    left = [
        item
        for item in items
        if item.path.parent == here
        and "[postgresql" in item.name
        and not item.path.stem.removeprefix("test_invoicing_").startswith(ON_BOTH)
    ]
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if item not in set(left)]


@pytest.fixture
async def bench(tmp_path: Path, store_url: str) -> AsyncIterator[Bench]:
    """A bench of its own."""
    async with opened(tmp_path, store_url) as made:
        yield made


@pytest.fixture
async def second(tmp_path: Path) -> AsyncIterator[Bench]:
    """Another one, always on SQLite, to compare with."""
    (tmp_path / "second").mkdir()
    async with opened(tmp_path / "second") as made:
        yield made
