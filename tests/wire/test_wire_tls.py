"""TLS on both sides: names asked for and verified, custom CAs, truncation, a listener's certificate that is renewed."""

import asyncio
import contextlib
import socket
import ssl

import pytest
import trustme
import uvloop
from support.wire import KEY, Gateway, RawClient, RawUpstream

from gateway.config.snapshot import ListenerTls
from gateway.routing.route import Target, UpstreamTls
from gateway.runtime.listener_tls import ListenerCertificate

GET = b"GET / HTTP/1.1\r\nHost: api.test\r\nX-API-Key: " + KEY + b"\r\n\r\n"


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture
async def secure(authority, tmp_path):
    """An upstream that speaks TLS as ``api.internal``, and the file with its CA; ``asked`` are the names asked for."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("api.internal", "localhost").configure_cert(context)
    upstream = RawUpstream()
    upstream.asked = []
    context.sni_callback = lambda _, name, __: upstream.asked.append(name)
    upstream._server = await asyncio.start_server(upstream._accept, "127.0.0.1", 0, ssl=context)
    upstream.port = upstream._server.sockets[0].getsockname()[1]
    upstream.ca = str(tmp_path / "ca.pem")
    authority.cert_pem.write_to_path(upstream.ca)
    yield upstream
    await upstream.stop()


def to(upstream, **tls):
    return (Target("https", "127.0.0.1", upstream.port, tls=UpstreamTls(**tls)),)


async def ask(gateway):
    client = await gateway.client()
    await client.send(GET)
    return await client.answer()


async def test_an_upstream_is_verified_by_its_ca_and_name(gateway, secure):
    gateway.targets = to(secure, ca=secure.ca, server_name="api.internal")
    await gateway.start()
    assert (await ask(gateway))[1] == b"ok"
    assert secure.asked == ["api.internal"]
    assert (await ask(gateway))[1] == b"ok"
    assert len(secure.seen) == 1  # kept


@pytest.mark.parametrize("case", ["another CA", "another name"])
async def test_an_upstream_that_cannot_be_verified_gets_nothing(gateway, secure, case):
    ca = "" if case == "another CA" else secure.ca
    gateway.targets = to(secure, ca=ca, server_name="other.internal" if case == "another name" else "api.internal")
    await gateway.start()
    head, body = await ask(gateway)
    assert head.startswith(b"HTTP/1.1 502 ")
    assert b"upstream_unreachable" in body
    assert secure.seen == []


@pytest.mark.parametrize("cut", [True, False])
def test_an_answer_cut_without_close_notify_is_no_whole_answer(authority, tmp_path, cut):
    async def scenario():
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("api.internal").configure_cert(context)
        loop = asyncio.get_running_loop()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            upstream = RawUpstream()
            upstream.port = listener.getsockname()[1]
            upstream.ca = str(tmp_path / "ca.pem")
            authority.cert_pem.write_to_path(upstream.ca)
            gateway = Gateway(upstream)
            gateway.targets = to(upstream, ca=upstream.ca, server_name="api.internal")
            await gateway.start()
            serving = loop.run_in_executor(None, serve_once, listener, context, cut)
            client = await gateway.client()
            await client.send(GET)
            answer = await answer_or_end(client)
            await serving
            [record] = await gateway.settled(1)
            client.close()
            await gateway.stop()
            return answer, record.outcome

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # the loop that workers run on
        answer, outcome = runner.run(scenario())
    assert answer.endswith(b"0\r\n\r\n") is not cut
    assert outcome == ("truncated" if cut else "ok")


async def answer_or_end(client):
    """What comes until the answer is whole or the connection ends."""
    answer = b""
    while not answer.endswith(b"0\r\n\r\n"):
        try:
            data = await asyncio.wait_for(client.reader.read(65536), 5)
        except ConnectionResetError:
            break
        if not data:
            break
        answer += data
    return answer


def serve_once(listener, context, cut):
    """One close-delimited answer, ended as told."""
    connection, _ = listener.accept()
    secure = context.wrap_socket(connection, server_side=True)
    secure.recv(65536)
    secure.sendall(b"HTTP/1.1 200 OK\r\n\r\nhalf")
    if cut:
        socket.socket(fileno=secure.detach()).close()
    else:
        with contextlib.suppress(OSError):
            secure.unwrap()
        secure.close()


async def test_a_tunnel_over_tls(gateway, secure):
    async def echo(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n")
        writer.write(await reader.readexactly(4))
        await writer.drain()

    secure.script = echo
    gateway.targets = to(secure, ca=secure.ca, server_name="api.internal")
    await gateway.start()
    client = await gateway.client()
    await client.send(GET[:-2] + b"Connection: Upgrade\r\nUpgrade: x\r\n\r\nping")
    assert (await client.head()).startswith(b"HTTP/1.1 101 ")
    assert await client.rest() == b"ping"
    [record] = await gateway.settled(1)
    assert (record.outcome, record.request_bytes, record.response_bytes) == ("ok", 4, 4)


def issue(authority, files, name):
    certificate = authority.issue_cert(name)
    certificate.cert_chain_pems[0].write_to_path(str(files.cert))
    certificate.private_key_pem.write_to_path(str(files.key))


async def test_the_listener_speaks_tls_and_follows_its_certificate(gateway, upstream, authority, tmp_path):
    files = ListenerTls(tmp_path / "cert.pem", tmp_path / "key.pem")
    issue(authority, files, "one.test")
    certificate = ListenerCertificate(files)
    await gateway.start()
    loop = asyncio.get_running_loop()
    listener = await loop.create_server(gateway.server.protocol_factory, "127.0.0.1", 0, ssl=certificate.context)
    port = listener.sockets[0].getsockname()[1]
    context = ssl.create_default_context()
    authority.configure_trust(context)

    async def call(name):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=name)
        client = RawClient(reader, writer)
        for _ in range(2):
            await client.send(GET)
            assert (await client.answer())[1] == b"ok"
        await client.send(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
        assert (await client.answer())[0].startswith(b"HTTP/1.1 400 ")
        assert await client.rest() == b""
        client.close()

    await call("one.test")
    issue(authority, files, "two.test")
    await certificate.refresh()
    await call("two.test")
    files.key.write_text("broken")
    await certificate.refresh()
    await call("two.test")
    issue(authority, files, "three.test")
    await certificate.refresh()
    await call("three.test")
    listener.close()
