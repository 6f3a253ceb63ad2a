"""The API's world for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.api_world import ApiWorld, open_api


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[ApiWorld]:
    async with open_api(tmp_path) as opened:
        yield opened
