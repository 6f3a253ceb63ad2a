"""``serve`` and ``check`` against what people get wrong."""

import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.process import GATEWAY, GatewayProcess, configuration
from support.upstream import RecordingUpstream

pytestmark = pytest.mark.slow


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*GATEWAY, *arguments], cwd=folder, capture_output=True, text=True, timeout=60, check=False)


def test_serve_refuses_a_taken_port(tmp_path: Path) -> None:
    document = configuration("http://127.0.0.1:9")
    gateway = GatewayProcess(tmp_path, document)
    host, _, port = gateway.listen.rpartition(":")
    with socket.create_server((host, int(port))):
        done = run(tmp_path, "serve", "-c", "gateway.yaml")
    assert done.returncode == 2
    assert gateway.listen in done.stderr
    assert done.stdout == ""


def test_a_second_serve_names_the_first(
    upstream: RecordingUpstream, gateway_process: Callable[[dict[str, Any]], GatewayProcess]
) -> None:
    gateway = gateway_process(configuration(upstream.url))
    assert gateway.process is not None
    done = run(gateway.folder, "serve", "-c", str(gateway.config))
    assert done.returncode == 2
    assert f"pid {gateway.process.pid}" in done.stderr


def test_check_reports_every_fault_at_once(tmp_path: Path) -> None:
    (tmp_path / "gateway.yaml").write_text(
        "upstreams: {main: {targts: ['http://127.0.0.1:9']}}\n"
        "routes: {main: {match: {paths: ['/']}, upstream: mian}}\n"
        "plans: {basic: {limits: [{name: a, meter: calls, max: -1, per: fortnight}]}}\n"
        "tenants: {acme: {name: Acme, plan: basik}}\n"
    )
    done = run(tmp_path, "check", "-c", "gateway.yaml")
    assert done.returncode != 0
    text = done.stdout + done.stderr
    for hint in ("gateway.yaml:1", "targets", "gateway.yaml:3", "fortnight"):
        assert hint in text


def test_the_example_configuration_is_sound(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    done = run(tmp_path, "check", "-c", str(root / "gateway.yaml"))
    assert done.returncode == 0, done.stderr
