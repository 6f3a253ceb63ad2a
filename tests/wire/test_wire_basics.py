"""Transcripts of plain calls: what the client sent, what the upstream saw, what came back, what was recorded."""

from gateway.tenants.model import Principal

GET = b"GET /x?q=1 HTTP/1.1\r\nHost: api.test\r\nX-API-Key: customer-key-0123456789\r\nAccept: */*\r\n\r\n"


async def test_get_is_passed_metered_and_recorded(gateway, upstream):
    await gateway.start()
    client = await gateway.client()
    await client.send(GET)
    head, body = await client.answer()
    assert head.startswith(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Request-Id: ")
    assert body == b"ok"
    seen = bytes(upstream.seen[0])
    assert seen.startswith(b"GET /x?q=1 HTTP/1.1\r\nHost: api.test\r\nAccept: */*\r\nX-Forwarded-For: 127.0.0.1\r\n")
    assert b"customer-key" not in seen
    assert b"X-Tenant-Id: acme\r\nX-Plan: free\r\n" in seen
    [record] = await gateway.settled(1)
    assert (record.tenant, record.key, record.route, record.status, record.outcome) == ("acme", "k1", "api", 200, "ok")
    assert record.units == {"calls": 1}
    assert record.quota_units == {"calls": 1}
    assert record.counted
    assert record.billable
    assert gateway.inflight.closed == [["open", "reserved", "sent", "settled", "close"]]


async def test_post_with_a_length(gateway, upstream):
    await gateway.start()
    client = await gateway.client()
    await client.send(GET.replace(b"GET", b"POST").replace(b"\r\n\r\n", b"\r\nContent-Length: 5\r\n\r\nhello"))
    assert (await client.answer())[1] == b"ok"
    assert bytes(upstream.seen[0]).endswith(b"\r\n\r\nhello")
    [record] = await gateway.settled(1)
    assert record.request_bytes == 5
    assert record.response_bytes == 2


async def test_unknown_key_is_401_and_no_route_is_404(gateway, upstream, minute_limit):
    gateway.route_options = {"paths": ["/x"]}
    await gateway.start()
    client = await gateway.client()
    await client.send(GET.replace(b"0123456789", b"0123456780"))
    head, body = await client.answer()
    assert head.startswith(b"HTTP/1.1 401 Unauthorized\r\n")
    assert b"WWW-Authenticate: Bearer" in head
    assert b'"code": "unknown_key"' in body
    await client.send(GET.replace(b"/x", b"/y"))
    assert (await client.answer())[0].startswith(b"HTTP/1.1 404 ")
    assert upstream.seen == []
    assert gateway.spool.records == []


async def test_the_limit_refuses_with_retry_after_and_the_upstream_sees_nothing(gateway, upstream, minute_limit):
    gateway.limits = (minute_limit(2),)
    await gateway.start()
    client = await gateway.client()
    for _ in range(2):
        await client.send(GET)
        head, _ = await client.answer()
        assert head.startswith(b"HTTP/1.1 200")
    await client.send(GET)
    head, body = await client.answer()
    assert head.startswith(b"HTTP/1.1 429 Too Many Requests\r\n")
    assert b"Retry-After: 2\r\n" in head
    assert b'"violated-policies": ["burst"]' in body
    assert b'RateLimit-Policy: "burst";q=2;w=60' in head
    assert upstream.requests == 2
    assert len(await gateway.settled(2)) == 2
    gateway.server.refusals.flush(everything=True)
    assert [(r.tenant, r.code, r.status, r.count) for r in gateway.spool.refusals] == [
        ("acme", "limit_exceeded", 429, 1)
    ]


async def test_an_upstream_error_is_passed_and_released(gateway, upstream, minute_limit):
    gateway.limits = (minute_limit(2),)
    upstream.answer = b"HTTP/1.1 500 Oops\r\nContent-Length: 1\r\n\r\n!"
    await gateway.start()
    client = await gateway.client()
    for _ in range(3):
        await client.send(GET)
        assert (await client.head()).startswith(b"HTTP/1.1 500 Oops\r\n")
        assert await client.reader.readexactly(1) == b"!"
    records = await gateway.settled(3)
    assert [(r.counted, r.billable, r.not_billable) for r in records] == [(False, False, "status")] * 3
    assert set(gateway.counters.totals.values()) == {0}


async def test_no_upstream_is_502_with_the_request_id_only(gateway, upstream):
    await gateway.start()
    await upstream.stop()
    client = await gateway.client()
    await client.send(GET)
    head, body = await client.answer()
    assert head.startswith(b"HTTP/1.1 502 Bad Gateway\r\n")
    assert b"127.0.0.1" not in body
    [record] = await gateway.settled(1)
    assert (record.status, record.outcome, record.billable) == (502, "connect_failed", False)


async def test_pipelined_requests_are_answered_in_order(gateway, upstream):
    await gateway.start()
    client = await gateway.client()
    await client.send(GET * 3)
    for _ in range(3):
        assert (await client.answer())[1] == b"ok"
    assert len(await gateway.settled(3)) == 3
    assert len(upstream.seen) == 1  # one kept connection


async def test_a_key_in_a_query_is_never_forwarded(gateway, upstream):
    await gateway.start()
    client = await gateway.client()
    await client.send(
        b"GET /p?a=%2F;b&token=gk_live_abc&&x HTTP/1.1\r\nHost: api.test\r\nX-API-Key: customer-key-0123456789\r\n\r\n"
    )
    assert (await client.answer())[1] == b"ok"
    assert bytes(upstream.seen[0]).startswith(b"GET /p?a=%2F;b&&x HTTP/1.1\r\n")


async def test_what_can_be_no_key_is_refused_though_somebody_listed_its_digest(gateway, upstream):
    """``gk_test_`` is reserved, a mistyped key of ours nobody's, like what is too short (CONTRACT, Keys)."""
    await gateway.start()
    client = await gateway.client()
    [known] = gateway.directory.principals.values()
    for credential in (b"gk_test_0123456789abcdef", b"gk_live_0123456789abcdef", b"short"):
        gateway.directory.put(credential, Principal(known.tenant, known.key))
        for _ in range(2):
            await client.send(GET.replace(b"customer-key-0123456789", credential))
            head, body = await client.answer()
            assert head.startswith(b"HTTP/1.1 401")
            assert b'"code": "unknown_key"' in body
    assert not any(upstream.seen)
