"""Every adapter of the ledger, one after the other."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.storage.ledger import Ledger
from gateway.storage.store import open_store


@pytest.fixture(params=["sqlite"])
async def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Ledger]:
    store = await open_store("sqlite:///gateway.db", tmp_path)
    yield store.ledger
    await store.close()
