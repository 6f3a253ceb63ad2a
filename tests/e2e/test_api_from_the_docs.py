"""The API as its page in docs/ tells it: the commands of that page, run as they stand against a running gateway, on
both stores; and what a key's rules are at the data plane."""

import json
import re
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.process import GatewayProcess, configuration
from support.services import wait_until
from support.upstream import RecordingUpstream

ROOT = Path(__file__).parents[2]
DOC = ROOT / "docs" / "api.md"
Start = Callable[[dict[str, Any]], GatewayProcess]


def commands(gateway: GatewayProcess) -> str:
    """The commands of "From registering to the bill", at this gateway's addresses."""
    part = DOC.read_text().partition("## From registering to the bill")[2]
    script = re.search(r"```\n(.*?)```", part, re.S)[1]
    assert script.count("curl") >= 8
    return script.replace("127.0.0.1:8081", gateway.control).replace("127.0.0.1:8080", gateway.listen)


def begin(gateway_process: Start, upstream: RecordingUpstream, store_url: str) -> GatewayProcess:
    document = configuration(upstream.url)
    document["accounts"] = {"registration": "open", "default_plan": "free", "secret": "s" * 40}
    document["store"] = {"url": store_url}
    routes = yaml.safe_load((ROOT / "config" / "routes.yaml").read_text())["routes"]  # what is shipped
    document["routes"] = {"weather": {"match": routes["weather"]["match"], "upstream": "main"}}
    limits = [{"name": "monthly", "meter": "calls", "max": 1000, "per": "month"}]
    prices = [{"type": "per_unit", "meter": "calls", "unit": "0.25"}]
    document["plans"]["free"] = {"limits": limits, "prices": prices}
    document["tenants"] = {}
    return gateway_process(document)


class Caller:
    """Asks the API, and the gateway with a key."""

    def __init__(self, gateway: GatewayProcess, token: str) -> None:
        self.gateway, self.token = gateway, token

    def api(self, method: str, path: str, body: object = None) -> Any:
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        _, raw = fetch(f"{self.gateway.control_url}/api/v1{path}", method, data, headers)
        return json.loads(raw) if raw else None

    def call(self, key: str) -> tuple[int, str]:
        status, raw = fetch(f"{self.gateway.url}/v1/weather", "GET", None, {"X-API-Key": key})
        return status, json.loads(raw).get("code", "") if status >= 400 else ""


def fetch(url: str, method: str, data: bytes | None, headers: dict[str, str]) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, headers, method=method), timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def after(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


@pytest.mark.slow
def test_the_commands_of_the_docs(gateway_process: Start, upstream: RecordingUpstream, store_url: str) -> None:
    gateway = begin(gateway_process, upstream, store_url)
    script = f'set -eo pipefail\n{commands(gateway)}\nprintf \'\\n%s\\n%s\\n\' "$T" "$K"'
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    *_, token, key = done.stdout.strip().splitlines()
    assert key.startswith("gk_live_")
    assert '"type":"about:blank"' not in done.stdout, done.stdout  # no refusal
    asker = Caller(gateway, token)
    wait_until(lambda: asker.api("GET", "/usage")["total"]["calls"] == 1, "the call in the usage")
    draft = asker.api("POST", "/invoices/calculate")
    assert (draft["state"], draft["total"]) == ("draft", {"amount": "0.25", "currency": "USD"})
    assert [one["id"] for one in asker.api("GET", "/invoices")["data"]] == [draft["id"]]
    (limit,) = asker.api("GET", "/limits")["data"]
    assert (limit["used"], limit["remaining"]) == (1, 999)
    (made,) = asker.api("GET", "/keys")["data"]
    assert made["last_used_at"] is not None
    _keys_rules(asker)
    gateway.stop()
    gateway.start()
    assert asker.api("GET", "/auth/me")["user"]["email"] == "ada@example.com"  # sessions outlive a restart
    assert asker.call(key)[0] == 200


def _keys_rules(asker: Caller) -> None:
    """Networks, end, overlap and revocation hold at the data plane as soon as the API has answered."""
    away = asker.api("POST", "/keys", {"name": "away", "addresses": ["10.0.0.0/8"]})
    assert asker.call(away["secret"]) == (403, "address_denied")
    changed = asker.api("PATCH", f"/keys/{away['key']['id']}", {"addresses": ["127.0.0.0/8"]})
    assert (changed["addresses"], asker.call(away["secret"])[0]) == (["127.0.0.0/8"], 200)
    ends = after(3)
    short = asker.api("POST", "/keys", {"name": "short", "expires_at": ends})
    before, start = asker.call(short["secret"])[0], datetime.fromisoformat(ends)
    assert before == 200 or datetime.now(UTC) > start
    wait_until(lambda: asker.call(short["secret"])[0] == 401, "the key's end")
    assert datetime.now(UTC) >= start  # not before
    long = asker.api("POST", "/keys", {"name": "long"})
    rotated = asker.api("POST", f"/keys/{long['key']['id']}/rotate", {"overlap_seconds": 3600})
    assert [asker.call(one["secret"])[0] for one in (long, rotated)] == [200, 200]
    again = asker.api("POST", f"/keys/{rotated['key']['id']}/rotate", {"overlap_seconds": 0})
    assert [asker.call(one["secret"])[0] for one in (rotated, again)] == [401, 200]
    asker.api("DELETE", f"/keys/{again['key']['id']}")
    assert asker.call(again["secret"])[0] == 401
