"""Traffic blocks: what they compile to, and their faults."""

from pathlib import Path

import pytest
import trustme

from gateway.config.loader import load
from gateway.routing.route import Cors, Ejection, HeaderRules, HealthCheck, UpstreamTls

HEAD = "upstreams: {{api: {{targets: ['https://127.0.0.1:9001'], {upstream}}}}}\n"
ROUTE = "routes: {{r: {{match: {{paths: [{path}]}}, upstream: api, auth: none, {route}}}}}\n"


def text(upstream="", route="", path="/a", more=""):
    return HEAD.format(upstream=upstream) + ROUTE.format(route=route, path=path) + more


FAULTS = {
    "unknown balance": (
        text("balance: random"),
        "upstreams.api.balance: expected 'round_robin' or 'least_connections'",
    ),
    "health path": (text("health: {path: healthz}"), 'upstreams.api.health.path: expected a path such as "/healthz"'),
    "no CA file": (text("tls: {ca: missing.pem}"), "upstreams.api.tls.ca: no file"),
    "CA file of something else": (text("tls: {ca: gateway.yaml}"), "gateway.yaml holds no certificates"),
    "rewrite and strip": (text(route="rewrite_prefix: /b, strip_prefix: true"), "cannot be beside strip_prefix"),
    "rewrite of a template": (text(route="rewrite_prefix: /b", path='"/a/{id}"'), "has no prefix to rewrite"),
    "rewrite with a query": (text(route="rewrite_prefix: '/b?c'"), 'expected a path such as "/v2"'),
    "the gateway's fields": (text(route="request_headers: {set: {X-Tenant-Id: a}}"), "is the gateway's own affair"),
    "framing": (text(route="response_headers: {remove: [Content-Length]}"), "is the gateway's own affair"),
    "a line break": (text(route='request_headers: {set: {X-A: "a\\r\\nb"}}'), "a header field cannot have"),
    "origin": (text(route="cors: {origins: [app.example.com]}"), 'expected "*", or an origin'),
    "credentials of all": (text(route='cors: {origins: "*", credentials: true}'), "credentials need named origins"),
    "network": (text(route="addresses: {deny: [10.0.0.1/8]}"), 'did you mean "10.0.0.0/8"?'),
    "no key file": (text(more="server: {tls: {cert: a.pem, key: b.pem}}"), "server.tls: no file"),
    "no key": (text(more="server: {tls: {cert: gateway.yaml, key: gateway.yaml}}"), "are no certificate and its key"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_fault(name, faults_of):
    document, expected = FAULTS[name]
    [fault] = faults_of(document)
    assert expected in fault


def test_blocks_become_values(tmp_path: Path):
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    (tmp_path / "gateway.yaml").write_text(
        text(
            "balance: least_connections, max_connections: 7, eject: {failures: 2}, health: {path: /up, timeout: 1s}, "
            "tls: {ca: ca.pem, server_name: api.internal}",
            "rewrite_prefix: /v2/, read_timeout: 5s, tunnel_idle: 5m, request_headers: {remove: [X-A], set: {X-B: c}}, "
            "cors: {origins: 'https://a.example'}, addresses: {allow: [10.0.0.0/8]}",
            more="server: {clients: {max_per_address: 9, idle_timeout: 5s}}",
        )
    )
    snapshot = load(tmp_path / "gateway.yaml", {})
    [route] = snapshot.routes
    upstream = route.upstream
    assert (upstream.balance, upstream.ejection) == ("least_connections", Ejection(2, 10_000_000))
    assert upstream.max_connections == 7
    assert upstream.health == HealthCheck("/up", 5_000_000, 1_000_000, 2)
    assert upstream.targets[0].tls == UpstreamTls(str(tmp_path / "ca.pem"), "api.internal")
    assert (route.rewrite_prefix, route.read_timeout_us, route.tunnel_idle_us) == ("/v2", 5_000_000, 300_000_000)
    assert route.request_headers == HeaderRules(frozenset({"x-a"}), (("X-B", "c"),))
    assert route.cors == Cors(("https://a.example",))
    assert (route.allow, route.deny) == (("10.0.0.0/8",), ())
    clients = snapshot.server.clients
    assert (clients.max_per_address, clients.idle_timeout_us, clients.max_head) == (9, 5_000_000, 32768)
