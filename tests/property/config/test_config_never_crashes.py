"""Whatever a person writes, the answer is a snapshot or faults: no other error, and no fault without words."""

import copy
import json
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.config.compile import compile_snapshot
from gateway.config.loader import load
from gateway.config.snapshot import Snapshot
from gateway.config.yaml_tree import read_yaml
from gateway.errors import ConfigError, Fault

VALID: dict[str, object] = {
    "server": {"listen": "127.0.0.1:0", "workers": 2, "trusted_proxies": ["10.0.0.0/8"]},
    "spool": {"keep": "1h", "max_size": "1GB"},
    "upstreams": {"a": {"targets": ["http://a", {"url": "http://b:1", "weight": 2}], "read_timeout": "5s"}},
    "routes": {
        "r": {
            "match": {"paths": ["/x/{id}", "=/y"], "methods": ["GET"], "hosts": ["*.example.com"]},
            "upstream": "a",
            "meters": {"tokens": {"sse": "usage.total", "estimate": 5}, "out": "response_bytes", "calls": 1},
        }
    },
    "plans": {
        "p": {
            "billing": {"month": {"amount": "9.90"}},
            "limits": [
                {"name": "l", "max": 5, "per": "month", "by": ["key"]},
                {"name": "c", "concurrent": 3, "routes": ["r"]},
                {"name": "b", "max": 5, "per": "90s", "algorithm": "bucket", "burst": 9, "meter": "tokens"},
            ],
            "prices": [
                {"type": "graduated", "tiers": [{"up_to": 5, "unit": "0.1"}, {"unit": 1}]},
                {"type": "percentage", "percent": "2.5", "meter": "out"},
            ],
        }
    },
    "tenants": {"t": {"plan": "p", "limits": {"l": {"max": 7}}, "keys": [{"id": "k", "hash": "sha256:" + "0" * 64}]}},
}
odd = st.sampled_from(
    [None, True, 0, -1, 10**30, 1.5, "", "x", "p", "${NOPE}", "${", "\u0000", "/", "http://[", "é" * 300, [], {}, [[]],
     [None], {"": ""}, {"name": "l"}, {"type": "flat"}, {"type": []}, "90s", "9" * 400 + "d"]
)  # fmt: skip


def paths_of(value: object, path: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(deeper for key, entry in inner for deeper in paths_of(entry, (*path, key)))]


PLACES = [path for path in paths_of(VALID) if path]


def mutated(places: list[tuple[object, ...]], values: list[object], names: list[str]) -> dict[str, object]:
    document = copy.deepcopy(VALID)
    for path, value, name in zip(places, values, names, strict=True):
        target: object = document
        for part in path[:-1]:
            try:
                target = target[part]  # type: ignore[index]
            except (KeyError, IndexError, TypeError):
                break
        if isinstance(target, dict):
            target[name or str(path[-1])] = copy.deepcopy(value)
        elif isinstance(target, list) and isinstance(path[-1], int) and path[-1] < len(target):
            target[path[-1]] = copy.deepcopy(value)
    return document


def outcome(path: Path) -> tuple[list[Fault], Snapshot | None]:
    try:
        return [], load(path, {})
    except ConfigError as error:
        return error.faults, None


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 3).flatmap(lambda n: st.tuples(
    st.lists(st.sampled_from(PLACES), min_size=n, max_size=n),
    st.lists(odd, min_size=n, max_size=n),
    st.lists(st.sampled_from(["", "", "", "limit", "pats", "x y", "-"]), min_size=n, max_size=n),
)))  # fmt: skip
def test_any_document(tmp_path: Path, change: tuple[list[tuple[object, ...]], list[object], list[str]]) -> None:
    path = tmp_path / "gateway.yaml"
    path.write_text(json.dumps(mutated(*change)))
    faults, snapshot = outcome(path)
    assert (snapshot is None) == bool(faults)
    assert all(fault.message and fault.file for fault in faults)
    if snapshot is not None:
        stored = json.loads(json.dumps(snapshot.source))
        assert compile_snapshot(stored, snapshot.folder, 0) == snapshot


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet=st.sampled_from("ab:-{}[]&*!<>|%@`'\"\n\t ,?#~0${}"), max_size=60))
def test_any_text(text: str) -> None:
    tree = read_yaml(text, "f", {})
    json.dumps(tree.value)
    assert all(fault.message for fault in tree.faults)
