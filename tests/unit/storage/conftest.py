"""A store of its own for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.storage.store import Store, open_store


@pytest.fixture
async def store(store_url: str, tmp_path: Path) -> AsyncIterator[Store]:
    opened = await open_store(store_url, tmp_path)
    yield opened
    await opened.close()
