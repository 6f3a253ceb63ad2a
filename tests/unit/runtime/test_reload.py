"""Reloading while the gateway runs; time is told, not slept."""

import logging
import os
from pathlib import Path

import pytest

from gateway.config.snapshot import Snapshot
from gateway.errors import ConfigError
from gateway.runtime.reload import Reloader

GOOD = """\
include: [plans.yaml]
upstreams: {a: {targets: ["http://a"]}}
routes: {r: {match: {paths: [/]}, upstream: a}}
"""
PLANS = "plans: {free: {limits: [{name: calls, max: 10, per: minute}]}}\n"


class Watched:
    """A configuration on disk, its reloader and the clock that the reloader reads."""

    def __init__(self, folder: Path) -> None:
        self.main, self.plans = folder / "gateway.yaml", folder / "plans.yaml"
        self.main.write_text(GOOD)
        self.plans.write_text(PLANS)
        self.seconds = 0.0
        self.reloader = Reloader(self.main, {}, {}, monotonic=lambda: self.seconds)

    def look(self) -> Snapshot | None:
        self.seconds += 1.0
        return self.reloader.poll()

    def settle(self) -> Snapshot | None:
        """Two looks: the change is seen, and seen again unchanged."""
        assert self.look() is None
        return self.look()


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    watched = Watched(tmp_path)
    watched.reloader.load()
    return watched


def test_the_first_load_raises(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        Reloader(tmp_path / "nope.yaml", {}, {}).load()


def test_nothing_changed(watched: Watched) -> None:
    assert [watched.look() for _ in range(3)] == [None] * 3


def test_an_included_file_changed(watched: Watched, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    watched.plans.write_text(PLANS.replace("10", "200"))
    snapshot = watched.settle()
    assert snapshot is not None
    assert snapshot.plans["free"].limits[0].max == 200
    assert caplog.records[-1].__dict__["changes"] == ["plans.free.limits.calls: max 10 -> 200"]
    assert watched.look() is None


def test_an_editor_that_renames(watched: Watched) -> None:
    new = watched.plans.with_suffix(".new")
    new.write_text(PLANS.replace("10", "20"))
    stat = watched.plans.stat()
    os.utime(new, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # same time, same size: the inode tells
    new.rename(watched.plans)
    snapshot = watched.settle()
    assert snapshot is not None
    assert snapshot.plans["free"].limits[0].max == 20


def test_a_file_that_is_being_written_is_not_read(watched: Watched) -> None:
    for text in ("plans:", "plans: {free:", PLANS.replace("10", "30")):
        watched.plans.write_text(text)
        assert watched.look() is None
    snapshot = watched.look()
    assert snapshot is not None


def test_a_bad_file_changes_nothing_and_says_why(watched: Watched, caplog: pytest.LogCaptureFixture) -> None:
    watched.plans.write_text(PLANS.replace("max", "mx"))
    assert watched.settle() is None
    record = caplog.records[-1]
    assert "plans.yaml:1: plans.free.limits[0].mx: unknown field" in record.getMessage()
    assert (record.__dict__["line"], record.__dict__["field"]) == (1, "plans.free.limits[0].mx")
    told = len(caplog.records)
    assert [watched.look() for _ in range(3)] == [None] * 3
    assert len(caplog.records) == told  # once is enough
    watched.plans.write_text(PLANS.replace("10", "40"))
    assert watched.settle() is not None


def test_a_missing_include_comes_back(watched: Watched) -> None:
    text = watched.plans.read_text()
    watched.plans.unlink()
    assert watched.settle() is None
    watched.plans.write_text(text.replace("10", "50"))
    assert watched.settle() is not None


def test_a_comment_is_no_event(watched: Watched) -> None:
    watched.main.write_text(GOOD + "# words\n")
    assert watched.settle() is None


def test_sighup_loads_at_once(watched: Watched) -> None:
    watched.plans.write_text(PLANS.replace("10", "60"))
    watched.reloader.request()
    assert watched.reloader.poll() is not None
    watched.reloader.request()
    assert watched.reloader.poll() is None


def test_what_needs_a_restart_stays(watched: Watched, caplog: pytest.LogCaptureFixture) -> None:
    watched.main.write_text(GOOD + "data_dir: other\nheaders: both\n")
    snapshot = watched.settle()
    assert snapshot is not None
    assert (snapshot.headers, snapshot.data_dir.name) == ("both", "data")
    assert ["data_dir"] in [record.__dict__.get("fields") for record in caplog.records]
    watched.main.write_text(GOOD + "data_dir: another\nheaders: both\n")
    assert watched.settle() is None
