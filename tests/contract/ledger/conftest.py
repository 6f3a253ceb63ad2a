"""Every adapter of the ledger, one after the other."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.storage.ledger import Ledger
from gateway.storage.store import open_store


@pytest.fixture
async def ledger(store_url: str, tmp_path: Path) -> AsyncIterator[Ledger]:
    store = await open_store(store_url, tmp_path)
    yield store.ledger
    await store.close()
