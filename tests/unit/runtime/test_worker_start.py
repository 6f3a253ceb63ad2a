"""A worker that cannot start leaves nothing behind that keeps the next one from it."""

import errno
from pathlib import Path

import pytest

from gateway.clock import SystemClock
from gateway.config.loader import load
from gateway.counters import layout as at
from gateway.runtime import counting, data_dir
from gateway.runtime.child import ChildSpec
from gateway.runtime.state_feed import StatePublisher
from gateway.runtime.worker import Worker
from gateway.spool.inflight import InflightTable

YAML = """\
upstreams: {a: {targets: ["http://a"]}}
routes: {r: {match: {paths: [/]}, upstream: a}}
"""


def test_a_full_disk_takes_no_journals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> InflightTable:
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(InflightTable, "create", full)
    (tmp_path / "gateway.yaml").write_text(YAML)
    snapshot = load(tmp_path / "gateway.yaml", {})
    data_dir.prepare(snapshot.data_dir)
    StatePublisher(snapshot.data_dir).publish_config(snapshot)
    spec = ChildSpec("worker-0", str(snapshot.data_dir), str(tmp_path / "gateway.yaml"), -1, -1)
    for _ in range(2):
        with pytest.raises(OSError, match="no space"):
            Worker(spec)
    counters = counting.open_host_counters(snapshot, SystemClock())
    with counters.alone() as (file, _):
        assert not file.map[at.JOURNAL_AT : at.ENTRIES_AT].strip(b"\0")
    counters.close()
