"""The world behind the pages, one a test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.ui_world import World, open_world


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Two tenants with a key each, no calls, nobody logged in."""
    async with open_world(tmp_path) as opened:
        yield opened
