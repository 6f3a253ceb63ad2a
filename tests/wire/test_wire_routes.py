"""What a route may change: prefixes, header fields, browsers of other origins, addresses, timeouts; and how many
connections a client may have.
"""

import asyncio
from dataclasses import replace

import pytest
from support.wire import KEY

from gateway.routing.route import Cors, HeaderRules

AUTH = b"X-API-Key: " + KEY + b"\r\n"
HOST = b"Host: api.test\r\n" + AUTH


def get(target=b"/", more=b"", method=b"GET"):
    return method + b" " + target + b" HTTP/1.1\r\n" + HOST + more + b"\r\n"


def line(upstream):
    return bytes(upstream.seen[-1]).rpartition(b"\r\n\r\n")[0].rpartition(b"\r\n\r\n")[2].partition(b" HTTP/1.1")[0]


REWRITES = [
    ("/v1", "/v2", b"/v1/a%2Fb?x=1", b"/v2/a%2Fb?x=1"),
    ("/v1", "/v2", b"/v1", b"/v2"),
    ("/v1", "/v2", b"/v1/", b"/v2/"),
    ("/v1", "/v2", b"/v1?x", b"/v2?x"),
    ("/v1", "/a/b", b"/v1//c;d", b"/a/b//c;d"),
    ("/v1", "/v2", b"/v1/%7ea/./b/../c//", b"/v2/%7ea/./b/../c//"),
    ("/v1", "/v2", b"/v1/../v1/c", b"/v2/c"),
    ("/v1", "/v2", b"//v1//c", b"/v2/c"),
    ("=/v1", "/v2", b"/v1", b"/v2"),
    ("/", "/v2", b"/x", b"/v2/x"),
    ("/v1", "", b"/v1", b"/"),
    ("/v1", "/v2", b"/%761/c", b"/v2/c"),
]


@pytest.mark.parametrize(("path", "new", "target", "seen"), REWRITES)
async def test_a_prefix_is_rewritten(gateway, upstream, path, new, target, seen):
    gateway.routes = (gateway.route("r", [path], rewrite_prefix=new),)
    await gateway.start()
    client = await gateway.client()
    await client.send(get(target))
    assert (await client.answer())[1] == b"ok"
    assert line(upstream) == b"GET " + seen


async def test_fields_are_taken_out_and_set_both_ways(gateway, upstream):
    upstream.answer = b"HTTP/1.1 200 OK\r\nServer: secret\r\nX-Cache: a\r\nX-Cache: b\r\nContent-Length: 2\r\n\r\nok"
    rules = {
        "request_headers": HeaderRules(frozenset({"x-debug"}), (("X-Env", "prod"),)),
        "response_headers": HeaderRules(frozenset({"server"}), (("X-Cache", "c"),)),
    }
    gateway.route_options = rules
    await gateway.start()
    client = await gateway.client()
    for _ in range(2):
        await client.send(get(more=b"X-Debug: 1\r\nx_debug: 2\r\nX-Env: test\r\nX-Other: 3\r\n"))
        head, _ = await client.answer()
        assert b"secret" not in head
        assert head.count(b"X-Cache: ") == 1
        assert b"X-Cache: c\r\n" in head
    sent = bytes(upstream.seen[0])
    assert b"debug" not in sent.lower()
    assert (sent.count(b"X-Env: prod\r\n"), sent.count(b"X-Env"), sent.count(b"X-Other: 3\r\n")) == (2, 2, 2)


def preflight(origin, method=b"PUT", more=b"Access-Control-Request-Headers: x-api-key, content-type\r\n"):
    head = b"OPTIONS /a HTTP/1.1\r\nHost: api.test\r\nOrigin: " + origin
    return head + b"\r\nAccess-Control-Request-Method: " + method + b"\r\n" + more + b"\r\n"


async def test_a_preflight_is_answered_without_a_key_and_unmetered(gateway, upstream):
    cors = Cors(("https://app.example", "https://*.trusted.example"), credentials=True)
    gateway.route_options = {"cors": cors, "methods": frozenset({"GET", "PUT"})}
    await gateway.start()
    client = await gateway.client()
    for origin in (b"https://app.example", b"https://a.b.trusted.example"):
        await client.send(preflight(origin))
        head = await client.head()
        assert head.startswith(b"HTTP/1.1 204 ")
        assert b"\r\nAccess-Control-Allow-Origin: " + origin + b"\r\n" in head
        assert b"\r\nAccess-Control-Allow-Headers: x-api-key, content-type\r\n" in head
        assert b"\r\nAccess-Control-Allow-Credentials: true\r\n" in head
        assert b"\r\nAccess-Control-Max-Age: 600\r\n" in head
    bad = [
        preflight(b"https://trusted.example"),
        preflight(b"https://evil.example"),
        preflight(b"https://app.example.evil"),
        preflight(b"https://evil.example/.trusted.example"),
        preflight(b"https://app.example", b"GET", b"Access-Control-Request-Headers: a b\r\n"),
    ]
    for request in bad:
        await client.send(request)
        head, body = await client.answer()
        assert head.startswith(b"HTTP/1.1 403 ")
        assert b"origin_denied" in body
        assert b"Allow-Methods" not in head
    assert (upstream.seen, gateway.spool.records) == ([], [])


async def test_answers_and_refusals_say_who_may_read_them(gateway, upstream):
    upstream.answer = b"HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: *\r\nContent-Length: 2\r\n\r\nok"
    gateway.route_options = {"cors": Cors(("https://app.example",), expose=("X-Total",))}
    await gateway.start()
    client = await gateway.client()
    await client.send(get(more=b"Origin: https://app.example\r\n"))
    head, _ = await client.answer()
    assert head.count(b"Access-Control-Allow-Origin: ") == 1
    assert b"Access-Control-Allow-Origin: https://app.example\r\n" in head
    assert b"Access-Control-Expose-Headers: X-Total, X-Request-Id, RateLimit, RateLimit-Policy, Retry-After\r\n" in head
    assert b"Vary: Origin\r\n" in head
    await client.send(get(more=b"Origin: https://evil.example\r\n"))
    head, _ = await client.answer()
    assert b"Access-Control" not in head
    assert b"Vary: Origin\r\n" in head
    await client.send(b"GET / HTTP/1.1\r\nHost: api.test\r\nOrigin: https://app.example\r\n\r\n")
    head, _ = await client.answer()
    assert head.startswith(b"HTTP/1.1 401 ")
    assert b"Access-Control-Allow-Origin: https://app.example\r\n" in head


async def test_any_origin_without_credentials(gateway, upstream):
    gateway.route_options = {"cors": Cors(("*",))}
    await gateway.start()
    client = await gateway.client()
    await client.send(get(more=b"Origin: null\r\n"))
    assert b"Access-Control-Allow-Origin: *\r\n" in (await client.answer())[0]
    await client.send(get())
    assert b"Access-Control" not in (await client.answer())[0]


async def test_options_that_is_no_preflight_is_a_call(gateway, upstream):
    gateway.route_options = {"cors": Cors(("*",))}
    await gateway.start()
    client = await gateway.client()
    await client.send(get(method=b"OPTIONS", more=b"Origin: https://a.example\r\n"))
    assert (await client.answer())[1] == b"ok"
    await gateway.settled(1)


@pytest.mark.parametrize(
    ("allow", "deny", "address", "passes"),
    [
        (("10.0.0.0/8",), (), b"10.1.2.3", True),
        (("10.0.0.0/8",), (), b"11.1.2.3", False),
        (("10.0.0.0/8",), ("10.1.0.0/16",), b"10.1.2.3", False),
        ((), ("2001:db8::/32",), b"2001:db8::1", False),
        ((), ("2001:db8::/32",), b"2001:db9::1", True),
        (("10.0.0.0/8",), (), b"::ffff:10.1.2.3", True),
        ((), ("10.0.0.0/8",), b"::ffff:10.1.2.3", False),
    ],
)
async def test_addresses_behind_a_trusted_proxy(gateway, upstream, allow, deny, address, passes):
    gateway.trusted = ("127.0.0.0/8",)
    gateway.route_options = {"allow": allow, "deny": deny}
    await gateway.start()
    client = await gateway.client()
    await client.send(get(more=b"X-Forwarded-For: 10.1.1.1, " + address + b"\r\n"))
    head, body = await client.answer()
    assert head.startswith(b"HTTP/1.1 200 " if passes else b"HTTP/1.1 403 ")
    assert passes or b"address_denied" in body
    assert bool(upstream.seen) is passes


async def test_an_untrusted_peer_cannot_name_its_address(gateway, upstream):
    gateway.route_options = {"allow": ("10.0.0.0/8",)}
    await gateway.start()
    client = await gateway.client()
    await client.send(get(more=b"X-Forwarded-For: 10.1.1.1\r\n"))
    assert (await client.head()).startswith(b"HTTP/1.1 403 ")


async def test_a_routes_own_timeout(gateway, upstream):
    async def silent(reader, writer):
        await reader.read()

    upstream.script = silent
    gateway.settings = replace(gateway.settings, sweep=0.01)
    gateway.routes = (replace(gateway.route("r", ["/"]), read_timeout_us=30_000),)
    await gateway.start()
    client = await gateway.client()
    await client.send(get())
    assert (await client.head()).startswith(b"HTTP/1.1 504 ")


async def test_wildcard_hosts(gateway, upstream):
    gateway.routes = (gateway.route("w", ["/"], hosts=("*.example.com",)),)
    await gateway.start()
    client = await gateway.client()
    for host, status in ((b"a.example.com", b"200"), (b"a.b.EXAMPLE.com:80", b"200"), (b"example.com", b"404")):
        await client.send(b"GET / HTTP/1.1\r\nHost: " + host + b"\r\n" + AUTH + b"\r\n")
        assert (await client.answer())[0].startswith(b"HTTP/1.1 " + status)


async def test_too_many_connections_of_one_address(gateway, upstream):
    gateway.settings = replace(gateway.settings, max_per_address=2)
    await gateway.start()
    first, second = await gateway.client(), await gateway.client()
    for client in (first, second):
        await client.send(get())
        assert (await client.answer())[1] == b"ok"
    third = await gateway.client()
    await third.send(get())
    head, body = await third.answer()
    assert head.startswith(b"HTTP/1.1 429 ")
    assert b"too_many_connections" in body
    assert await third.rest() == b""
    third.close()
    first.close()
    async with asyncio.timeout(5):
        while len(gateway.server.connections) > 1:  # noqa: ASYNC110
            await asyncio.sleep(0.002)
    fourth = await gateway.client()
    await fourth.send(get())
    assert (await fourth.answer())[1] == b"ok"
    assert len(gateway.spool.records) == 3


async def test_a_trusted_proxy_may_have_many_connections(gateway, upstream):
    gateway.settings = replace(gateway.settings, max_per_address=1)
    gateway.trusted = ("127.0.0.0/8",)
    await gateway.start()
    for client in [await gateway.client() for _ in range(3)]:
        await client.send(get())
        assert (await client.answer())[1] == b"ok"


async def test_the_longest_idle_connections_go_first(gateway, upstream):
    gateway.settings = replace(gateway.settings, max_idle_clients=1, sweep=0.01)
    await gateway.start()
    clients = [await gateway.client() for _ in range(2)]
    await clients[0].send(get())
    await clients[0].answer()
    await clients[1].send(get())
    await clients[1].answer()
    assert await clients[0].rest() == b""
    await clients[1].send(get())
    assert (await clients[1].answer())[1] == b"ok"
