"""A store that a newer gateway wrote: ``serve`` ends with 2 and says why, whichever process meets it first."""

import asyncio
import sqlite3
import subprocess
from pathlib import Path

import pytest
import yaml
from support.process import GATEWAY, configuration
from support.services import free_port

from gateway.storage.migrate import migrate

pytestmark = pytest.mark.slow


def test_an_older_gateway_does_not_start_over_it(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o700)
    asyncio.run(migrate("sqlite:///data/gateway.db", tmp_path))
    with sqlite3.connect(tmp_path / "data" / "gateway.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    document = configuration(f"http://127.0.0.1:{free_port()}")
    (tmp_path / "gateway.yaml").write_text(yaml.safe_dump(document))
    done = subprocess.run(
        [*GATEWAY, "serve", "-c", "gateway.yaml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "the database has schema 9999" in done.stderr
    assert "Traceback" not in done.stderr
