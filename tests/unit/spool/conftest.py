"""What the spool's tests share: a host, records, and writers with small segments."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.clock import ManualClock
from gateway.ids import uuid7
from gateway.metering.record import CallRecord
from gateway.spool.segment import HEADER_SIZE, MAX_FRAME
from gateway.spool.writer import SpoolWriter

HOST = bytes(range(16))
NOW = 1_795_000_000_000_000
SMALL_SEGMENT = HEADER_SIZE + 4 * MAX_FRAME


@pytest.fixture
def new_record() -> Callable[..., CallRecord]:
    def make(path: str = "/weather", **fields: object) -> CallRecord:
        values: dict[str, object] = {
            "id": uuid7(NOW), "at_us": NOW, "tenant": "acme", "key": "k1", "route": "weather", "method": "GET",
            "path": path, "status": 200, "outcome": "ok", "units": {"calls": 1}, "quota_units": {"calls": 1},
            "counted": True, "billable": True,
        }  # fmt: skip
        return CallRecord(**(values | fields))  # type: ignore[arg-type]

    return make


@pytest.fixture
def new_writer(tmp_path: Path) -> Iterator[Callable[..., SpoolWriter]]:
    made: list[SpoolWriter] = []

    def make(incarnation: str = "a-0-x", **options: object) -> SpoolWriter:
        values: dict[str, object] = {
            "fsync": "interval", "max_size": 1 << 30, "segment_size": SMALL_SEGMENT, "clock": ManualClock(NOW)
        }  # fmt: skip
        writer = SpoolWriter.create(tmp_path / "spool", incarnation, HOST, **(values | options))  # type: ignore[arg-type]
        made.append(writer)
        return writer

    yield make
    for writer in made:
        writer.close()
