"""What a newcomer meets: the card's lines do what they say, links log in once, keys stay, Ctrl-C drains."""

import http.client
import json
import re
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.demo import DemoProcess, move_ports, run_command
from support.services import wait_until
from support.upstream import RecordingUpstream

pytestmark = pytest.mark.slow

StartDemo = Callable[..., DemoProcess]


@pytest.fixture
def start_demo(tmp_path: Path) -> Iterator[StartDemo]:
    started: list[DemoProcess] = []

    def start(*arguments: str) -> DemoProcess:
        demo = DemoProcess([sys.executable, "-m", "gateway", "demo", *arguments], tmp_path)
        started.append(demo)
        demo.wait_for_card()
        return demo

    yield start
    for demo in started:
        if demo.process.poll() is None:
            demo.interrupt()


def test_the_card_says_what_happens(start_demo: StartDemo, tmp_path: Path) -> None:
    data, _ = move_ports(tmp_path)
    demo = start_demo()
    metered, refused, loop = demo.commands
    assert run_command(metered).startswith("HTTP/1.1 200")
    assert run_command(refused).startswith("HTTP/1.1 401")
    assert Counter(run_command(loop).split()) == {"200": 9, "429": 3}

    assert re.search(r"gk_live_\w+", demo.output)[0] == demo.keys[0]
    assert demo.keys[0] in metered
    assert f"http://127.0.0.1:{data}/" in metered
    assert demo.output.index(f"http://127.0.0.1:{data}") == demo.output.index(metered) + metered.index("http://")


def test_a_saved_plan_changes_the_limit(start_demo: StartDemo, tmp_path: Path) -> None:
    move_ports(tmp_path)
    demo = start_demo()
    plans = tmp_path / "data" / "demo" / "config" / "plans.yaml"
    assert any("data/demo/config/plans.yaml" in line for line in demo.lines)
    assert ";q=10;" in run_command(demo.commands[0])
    plans.write_text(plans.read_text().replace("max: 10,", "max: 20,"))
    wait_until(lambda: ";q=20;" in run_command(demo.commands[0]), "the new limit", 10)


def test_the_three_tenants_are_what_the_card_promises(start_demo: StartDemo, tmp_path: Path) -> None:
    move_ports(tmp_path)
    start_demo()

    def gateway(*arguments: str) -> Any:
        command = [sys.executable, "-m", "gateway", *arguments, "-c", "data/demo/commands.yaml", "--json"]
        return json.loads(subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout)

    assert gateway("usage", "--tenant", "acme")["units"]["calls"] == 16_400  # 82 % of 20,000
    wait_until(lambda: "globex" in json.dumps(gateway("invoice", "list")), "the paying tenant's invoice", 20)
    assert ("globex", "open") in {(row["tenant"], row["state"]) for row in gateway("invoice", "list")["data"]}
    assert gateway("reconcile")["difference"] == 0


def test_links_log_in_once(start_demo: StartDemo, tmp_path: Path) -> None:
    move_ports(tmp_path)
    demo = start_demo()
    portal, admin = demo.links
    assert [_opens(portal), _opens(portal)] == [True, False]
    assert [_opens(admin), _opens(admin)] == [True, False]


def test_keys_are_kept_and_links_are_new(start_demo: StartDemo, tmp_path: Path) -> None:
    move_ports(tmp_path)
    first = start_demo()
    assert first.interrupt() == 0
    second = start_demo()
    assert second.keys == first.keys
    assert not set(second.links) & set(first.links)
    assert run_command(second.commands[0]).startswith("HTTP/1.1 200")
    private = [tmp_path / "data" / "demo" / name for name in ("credentials.json", "history.json")]
    assert {path.stat().st_mode & 0o777 for path in private} == {0o600}


def test_a_taken_port_moves_the_demo_and_it_says_so(start_demo: StartDemo, tmp_path: Path) -> None:
    data, control = move_ports(tmp_path)
    with socket.create_server(("127.0.0.1", data)):
        demo = start_demo()
        assert f"Port {data} or {control} is taken" in demo.errors
        assert f"127.0.0.1:{data}/" not in "".join(demo.lines)
        assert run_command(demo.commands[0]).startswith("HTTP/1.1 200")


def test_the_visitors_own_api_needs_no_yaml(start_demo: StartDemo, tmp_path: Path, upstream: RecordingUpstream) -> None:
    move_ports(tmp_path)
    demo = start_demo("--upstream", f"{upstream.url}/hello")
    assert run_command(demo.commands[0]).startswith("HTTP/1.1 200")
    assert run_command(demo.commands[1]).startswith("HTTP/1.1 401")
    (received,) = upstream.received
    assert received.target == "/hello"
    assert received.header("X-API-Key") is None
    assert received.header("X-Tenant-Id") == "initech"


def _opens(link: str) -> bool:
    """Follow a one-time link as a browser does; whether it ends on a page of the person's own."""
    host, _, path = link.removeprefix("http://").partition("/")
    path, cookies = f"/{path}", {}
    for _ in range(6):
        connection = http.client.HTTPConnection(host, timeout=10)
        pairs = "; ".join(f"{name}={value}" for name, value in cookies.items())
        connection.request("GET", path, headers={"Cookie": pairs} if pairs else {})
        answer = connection.getresponse()
        page = answer.read().decode()
        for name, value in re.findall(r"([^=;,\s]+)=([^;]*)", "\n".join(answer.headers.get_all("Set-Cookie") or [])):
            if name.startswith("gw_"):
                cookies[name] = value
        connection.close()
        location = answer.getheader("Location")
        if location is None:
            return answer.status == 200 and "/logout" in page
        path = re.sub(r"^https?://[^/]+", "", location)
    return False
