"""Who called, and by which names: request ids, tenants that are not served, addresses in records; order at the end."""

from dataclasses import replace
from hashlib import sha256

import pytest
from support.wire import KEY

from gateway.ids import uuid7_time_us
from gateway.quotas.limit import Algorithm, Limit
from gateway.tenants.model import Key, Principal, Tenant

GET = b"GET /x HTTP/1.1\r\nHost: a\r\nX-API-Key: " + KEY + b"\r\n\r\n"


async def test_a_request_id_is_passed_on_when_well_formed_and_never_an_identity(gateway, upstream):
    await gateway.start()
    client = await gateway.client()
    good = [b"r-1", b"r-1", b"x" * 128]
    bad = [b"x" * 129, b"two words", b"\x80", b"", b"gk_live_k1_secret"]
    for number, sent in enumerate((*good, *bad), 1):
        await client.send(GET.replace(b"Host: a", b"Host: a\r\nX-Request-Id: " + sent))
        head, _ = await client.answer()
        answered = head.split(b"X-Request-Id: ")[1].split(b"\r\n")[0]
        assert (answered == sent) == (sent in good), sent
        [seen] = bytes(upstream.seen[0]).split(b"X-Request-Id: ")[number:]  # of one connection
        assert seen.startswith(answered + b"\r\n")
    records = await gateway.settled(8)
    assert len({record.id for record in records}) == 8
    assert [record.request_id.encode() for record in records[:3]] == good
    assert all(abs(uuid7_time_us(record.id) - record.at_us) < 5_000_000 for record in records)


@pytest.mark.parametrize(("status", "code"), [("suspended", b"tenant_suspended"), ("closed", b"tenant_closed")])
async def test_a_tenant_that_is_not_served_is_403_and_no_record(gateway, upstream, status, code):
    await gateway.start()
    tenant = Tenant("acme", "Acme", "free", status=status)
    gateway.directory.put(KEY, Principal(tenant, Key("k1", "acme", sha256(KEY).digest())))
    client = await gateway.client()
    await client.send(GET)
    head, body = await client.answer()
    assert head.startswith(b"HTTP/1.1 403 ")
    assert code in body
    assert upstream.seen == gateway.spool.records == []


@pytest.mark.parametrize(("mode", "shown"), [("full", "127.0.0.1"), ("truncated", "127.0.0.0"), ("hashed", None)])
async def test_an_address_is_kept_as_configured(gateway, upstream, monkeypatch, mode, shown):
    plain = gateway.snapshot
    monkeypatch.setattr(gateway, "snapshot", lambda: replace(plain(), address_mode=mode))
    await gateway.start()
    client = await gateway.client()
    await client.send(GET)
    await client.answer()
    [record] = await gateway.settled(1)
    if shown is None:
        assert record.address
        assert "127" not in record.address
    else:
        assert record.address.startswith(shown)


async def test_a_sequential_client_never_meets_its_own_reservation(gateway, upstream):
    gateway.limits = (Limit("parallel", "calls", 1, None, Algorithm.CONCURRENT),)
    await gateway.start()
    client = await gateway.client()
    for _ in range(50):
        await client.send(GET)
        assert (await client.answer())[0].startswith(b"HTTP/1.1 200 ")
    assert len(await gateway.settled(50)) == 50
