"""A key that is for some networks only, seen from inside and outside of them."""

from hashlib import sha256

import pytest
from support.wire import KEY

from gateway.tenants.model import Key, Principal, Tenant


@pytest.mark.parametrize(
    ("networks", "address", "passes"),
    [
        ((), b"192.0.2.1", True),
        (("10.0.0.0/8", "2001:db8::/32"), b"10.9.9.9", True),
        (("10.0.0.0/8", "2001:db8::/32"), b"2001:db8::7", True),
        (("10.0.0.0/8",), b"::ffff:10.9.9.9", True),
        (("10.0.0.0/8",), b"192.0.2.1", False),
        (("10.0.0.0/8",), b"not an address", False),
    ],
)
async def test_a_key_for_some_networks(gateway, upstream, networks, address, passes):
    gateway.trusted = ("127.0.0.0/8",)
    await gateway.start()
    key = Key("k1", "acme", sha256(KEY).digest(), addresses=networks)
    gateway.directory.put(KEY, Principal(Tenant("acme", "Acme", "free"), key))
    client = await gateway.client()
    await client.send(
        b"GET / HTTP/1.1\r\nHost: a\r\nX-API-Key: " + KEY + b"\r\nX-Forwarded-For: " + address + b"\r\n\r\n"
    )
    head, body = await client.answer()
    assert head.startswith(b"HTTP/1.1 200 " if passes else b"HTTP/1.1 403 ")
    assert passes or b"address_denied" in body
    assert bool(upstream.seen) is passes
