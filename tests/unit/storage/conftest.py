"""A store of its own for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.storage.store import Store, open_store

URL = "sqlite:///data/gateway.db"


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await open_store(URL, tmp_path)
    yield opened
    await opened.close()
