"""What ``serve`` asks of its folder and of its stores before anything starts (SEMANTICS §33)."""

import logging
from pathlib import Path

import pytest

from gateway.config.loader import load
from gateway.errors import ConfigError
from gateway.runtime.data_dir import AlreadyRunning, DataDirLock, prepare
from gateway.runtime.supervisor import refuse_unserved

YAML = """\
store: {{url: "{store}"}}
counters: {{url: "{counters}"}}
accounts: {{secret: "{secret}"}}
upstreams: {{a: {{targets: ["http://a"]}}}}
routes: {{r: {{match: {{paths: [/]}}, upstream: a}}}}
"""
SQLITE, POSTGRES = "sqlite:///data/gateway.db", "postgresql://gateway@127.0.0.1/gateway"
MMAP, REDIS = "mmap:///data/counters", "redis://127.0.0.1:6379/0"


def test_it_is_private_and_an_open_one_is_tightened_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fresh, known = tmp_path / "a" / "fresh", tmp_path / "known"
    prepare(fresh)
    assert not caplog.records
    known.mkdir()
    known.chmod(0o755)
    prepare(known)
    assert [(one.levelno, one.__dict__["mode"]) for one in caplog.records] == [(logging.WARNING, "0o755")]
    for folder in (fresh, known):
        assert {path.stat().st_mode & 0o777 for path in (folder, *folder.iterdir())} == {0o700}


def test_one_holds_it_and_the_other_is_told_who(tmp_path: Path) -> None:
    lock = DataDirLock(tmp_path)
    with pytest.raises(AlreadyRunning) as refused:
        DataDirLock(tmp_path)
    assert refused.value.pid > 0
    lock.release()
    DataDirLock(tmp_path).release()


@pytest.mark.parametrize("store", [SQLITE, POSTGRES])
@pytest.mark.parametrize("counters", [MMAP, REDIS])
@pytest.mark.parametrize("role", ["all", "proxy", "control"])
def test_roles_need_stores_that_hosts_share(tmp_path: Path, store: str, counters: str, role: str) -> None:
    path = tmp_path / "gateway.yaml"
    path.write_text(YAML.format(store=store, counters=counters, secret="s" * 40))
    snapshot = load(path, {})
    own = [one for one, alone in (("sqlite", store == SQLITE), ("mmap", counters == MMAP)) if alone]
    if role == "all" or not own:
        refuse_unserved(snapshot, role)
        return
    with pytest.raises(ConfigError, match=f"needs stores that hosts share.*{own[0]}"):
        refuse_unserved(snapshot, role)
