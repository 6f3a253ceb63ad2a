"""Two proxy hosts and a control host over one PostgreSQL and one Redis: exact limits, one ledger, one schema."""

import http.client
import json
import threading
from pathlib import Path
from typing import Any

import pytest
from support.crash import Load, read_ledger
from support.faults import metric
from support.process import GatewayProcess, configuration
from support.services import wait_until
from support.upstream import RecordingUpstream

LIMIT = 200

pytestmark = [pytest.mark.slow, pytest.mark.service, pytest.mark.timeout(600)]


def get(address: str, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(address, timeout=20)
    connection.request("GET", path)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, body


def call(host: GatewayProcess, key: str) -> int:
    connection = http.client.HTTPConnection(host.listen, timeout=20)
    connection.request("GET", "/x", headers={"X-API-Key": key, "X-Request-Id": f"by-{key[-4:]}-{host.listen}"})
    status = connection.getresponse().status
    connection.close()
    return status


def test_hosts_share_limits_ledger_and_state(
    upstream: RecordingUpstream, redis_url: str, postgres_url: str, tmp_path: Path
) -> None:
    # A day of its own for the shared Redis: nobody else counts for this tenant.
    daily = {"name": "daily", "meter": "calls", "max": LIMIT, "per": "day"}
    shared: dict[str, Any] = {
        "store": {"url": postgres_url},
        "counters": {"url": redis_url.replace("/0", "/9"), "deadline": "5s"},
        "accounts": {"secret": "a secret that all of the hosts share"},
    }
    hosts = []
    for name in ("first", "second", "control"):
        (tmp_path / name).mkdir()
        hosts.append(GatewayProcess(tmp_path / name, configuration(upstream.url, limits=[daily]) | shared))
    first, second, control = hosts
    roles = ("proxy", "proxy", "control")
    try:
        # All at once on an empty database: one brings the schema up, the others find it.
        starting = [
            threading.Thread(target=host.start, args=("--role", role)) for host, role in zip(hosts, roles, strict=True)
        ]
        for thread in starting:
            thread.start()
        for thread in starting:
            thread.join()
        assert all(host.ready() for host in hosts), [host.log[-2000:] for host in hosts]
        with Load(first.listen, "one", 3) as one, Load(second.listen, "two", 3) as two:
            wait_until(lambda: min(load.refused.get(429, 0) for load in (one, two)) > 20, "the limit on both", 60)
        delivered = one.delivered | two.delivered
        assert len(delivered) == LIMIT
        assert one.delivered
        assert two.delivered
        assert set(one.refused) | set(two.refused) == {429}

        # What a host is told on its control listener: how it does, and nothing else.
        proxies = (first, second)
        wait_until(lambda: sum(metric(host, "gateway_requests_total") for host in proxies) == LIMIT, "the figures", 30)
        assert get(first.control, "/healthz")[0] == 200
        assert get(first.control, "/admin")[0] == 404
        assert get(control.control, "/login")[0] == 200

        # A key made on the control host is known on the others, and gone when it is revoked.
        made = control.command_json("keys", "create", "acme", "--name", "late")
        wait_until(lambda: [call(host, made["key"]) for host in proxies] == [429, 429], "the key known", 30)
        assert control.command("keys", "revoke", made["id"], "--tenant", "acme").returncode == 0
        wait_until(lambda: [call(host, made["key"]) for host in proxies] == [401, 401], "the key revoked", 30)

        wait_until(lambda: metric(control, "gateway_workers") == 0, "no worker on the control host")
        for host in proxies:
            report = host.command("reconcile", "--json")
            assert report.returncode == 0, report.stdout
            assert json.loads(report.stdout)["silent_hosts"] == []
        # One of the hosts goes: the other's calls are recorded, and nothing of the first one's is lost.
        assert first.stop() == 0
        assert call(second, "nobody") == 401
    finally:
        for host in hosts:
            if host.process is not None:
                host.stop()
    rows = read_ledger(second, postgres_url)
    assert sorted(row.request_id for row in rows) == sorted(delivered)
    leaders = [host for host in hosts if "runs the jobs" in host.log]
    assert leaders == [control]
