"""Keys that name scopes, on routes that ask for some."""

from hashlib import sha256

import pytest
from support.wire import KEY

from gateway.tenants.model import Key, Principal, Tenant


@pytest.mark.parametrize(
    ("asked", "named", "passes"),
    [
        ((), (), True),
        ((), ("reports",), True),
        (("reports",), (), True),  # a key without scopes is for everything
        (("reports",), ("reports",), True),
        (("reports",), ("reports", "more"), True),
        (("reports",), ("report",), False),
        (("reports", "write"), ("reports",), False),
        (("reports", "write"), ("write", "reports"), True),
    ],
)
async def test_a_key_passes_with_all_that_the_route_asks_for(gateway, upstream, asked, named, passes):
    gateway.route_options = {"scopes": frozenset(asked)}
    await gateway.start()
    key = Key("k1", "acme", sha256(KEY).digest(), scopes=named)
    gateway.directory.put(KEY, Principal(Tenant("acme", "Acme", "free"), key))
    client = await gateway.client()
    await client.send(b"GET / HTTP/1.1\r\nHost: a\r\nX-API-Key: " + KEY + b"\r\n\r\n")
    head, body = await client.answer()
    assert head.startswith(b"HTTP/1.1 200 " if passes else b"HTTP/1.1 403 ")
    assert passes or b"scope_denied" in body
    assert bool(upstream.seen) is passes
