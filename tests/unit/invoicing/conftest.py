"""A bench on each engine for every test of invoicing, and one on SQLite to compare with."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.billing_bench import Bench, opened


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
