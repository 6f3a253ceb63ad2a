import pytest

from gateway.http.body import Framing
from gateway.http.chunked import ChunkedDecoder
from gateway.http.errors import MessageError
from gateway.http.fields import BoundedMemo
from gateway.http.forwarding import (
    is_secret,
    mask_keys,
    request_section,
    trailer_section,
    without_own_cookies,
    without_query_key,
)
from gateway.http.request import Request, RequestFields
from gateway.http.response import Response, ResponseFields
from gateway.http.target import host_name


def request(line, section=b"Host: a\r\n"):
    return Request(line, RequestFields(section))


def response(line, section, method=b"GET"):
    return Response(line, ResponseFields(section), method)


def test_the_body_of_an_answer_is_what_the_rules_say():
    length, chunked = b"Content-Length: 3\r\n", b"Transfer-Encoding: Chunked\r\n"
    ok = b"HTTP/1.1 200 OK"
    assert response(ok, length).framing is Framing.LENGTH
    assert response(ok, b"Content-Length: 0\r\n").framing is Framing.NONE
    assert response(ok, chunked).framing is Framing.CHUNKED
    assert response(ok, b"").framing is Framing.CLOSE
    assert response(ok, length, b"HEAD").framing is Framing.NONE
    assert response(b"HTTP/1.1 204 No", length).framing is Framing.NONE
    assert response(b"HTTP/1.1 304 No", chunked).framing is Framing.NONE
    assert response(b"HTTP/1.1 103 Hints", b"").framing is Framing.NONE


def test_connections_are_kept_as_versions_say():
    assert response(b"HTTP/1.1 200 OK", b"Content-Length: 1\r\n").keep_alive
    assert not response(b"HTTP/1.1 200 OK", b"Content-Length: 1\r\nConnection: Close\r\n").keep_alive
    assert not response(b"HTTP/1.0 200 OK", b"Content-Length: 1\r\n").keep_alive
    assert response(b"HTTP/1.0 200 OK", b"Content-Length: 1\r\nConnection: keep-alive\r\n").keep_alive
    assert not response(b"HTTP/1.1 200 OK", b"").keep_alive
    assert not request(b"GET / HTTP/1.0").keep_alive


def test_a_reason_may_be_missing_or_latin():
    assert response(b"HTTP/1.1 200", b"").reason == b""
    assert response(b"HTTP/1.1 200 ", b"").reason == b""
    assert response(b"HTTP/1.1 200 S\xfc\xdf", b"").reason == b"S\xfc\xdf"


def test_h2c_is_no_upgrade():
    fields = RequestFields(b"Host: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n")
    assert fields.upgrade is None
    assert RequestFields(b"Host: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n").upgrade == b"websocket"
    assert RequestFields(b"Host: a\r\nUpgrade: websocket\r\n").upgrade is None


@pytest.mark.parametrize(
    "data", [b"5\r\nhello\r\n0\r\n\r\nNEXT", b'5;a=b;c="d\\"e"\r\nhello\r\n000\r\nX: y\r\n\r\nNEXT']
)
def test_chunks_in_any_segmentation(data):
    for size in range(1, len(data) + 1):
        decoder = ChunkedDecoder()
        body, rest = b"", b""
        for start in range(0, len(data), size):
            piece = data[start : start + size]
            if decoder.done:
                rest += piece
                continue
            body += decoder.feed(piece)
            rest += decoder.rest
        assert (body, rest, decoder.done) == (b"hello", b"NEXT", True)


@pytest.mark.parametrize(
    "data",
    [
        b"\r\n",
        b"g\r\n",
        b"-1\r\n",
        b"1 \r\na",
        b"1\n",
        b"1;\r\n",
        b"1;a=\r\n",
        b"1\r\nab",
        b"0\r\nx\r\n\r\n",
        b"1" * 16,
    ],
)
def test_broken_chunks(data):
    with pytest.raises(MessageError):
        ChunkedDecoder().feed(data + b"\r\n" * 3 + b"x" * 2000)


def test_a_chunk_size_line_has_an_end():
    decoder = ChunkedDecoder()
    with pytest.raises(MessageError):
        decoder.feed(b"1;" + b"a" * 3000)


def test_what_is_passed_on():
    section = (
        b"Host: a\r\nConnection: X-Hop, close, host\r\nX-Hop: 1\r\nTE: trailers\r\nKeep-Alive: 5\r\nx_plan: gold\r\n"
        b"X-B:b\r\nCookie: gw_session=1\r\nAuthorization: Bearer gk_live_x\r\nX-Key: my_gk_ok\r\n"
    )
    assert request_section(RequestFields(section), {b"x-c"}) == (
        b"Host: a\r\nX-B:b\r\nX-Key: my_gk_ok\r\nTE: trailers\r\nConnection: TE\r\n"
    )


def test_the_credential_that_authenticated_is_passed_on_in_no_field():
    section = (
        b"X-API-Key: customers-own-key\r\nAuthorization: Bearer customers-own-key\r\nX-Copy:customers-own-key\r\n"
        b"X-Note: not customers-own-key-2\r\nX-Text: a word about customers-own-key\r\n"
    )
    assert request_section(RequestFields(section), {b"x-api-key"}, b"customers-own-key") == (
        b"X-Note: not customers-own-key-2\r\nX-Text: a word about customers-own-key\r\n"
    )


def test_trailers_bring_in_nothing_dangerous():
    pairs = [(b"X-Sum", b" 1"), (b"Content-Length", b" 5"), (b"x_tenant_id", b" a"), (b"Host", b" b"), (b"A", b" gk_x")]
    assert trailer_section(pairs) == b"X-Sum: 1\r\n"


def test_secrets_are_known_by_their_prefix():
    assert is_secret(b" gk_live_1")
    assert is_secret(b" Bearer gk_live_1")
    assert not is_secret(b" Bearer abc")


def test_cookies_and_query_keys_are_cut():
    assert without_own_cookies(b" a=1; gw_session=x; b=2") == b" a=1; b=2"
    assert without_own_cookies(b" gw_session=x") == b""
    assert without_own_cookies(b" a=1; k=gk_live_ab12_x; b=2") == b" a=1; b=2"


def test_a_key_is_not_passed_on_wherever_it_stands_in_a_field_nor_written_down() -> None:
    key = b"gk_live_C16wxeCfeF0_7jI5JZiqIFSRzyUZTUJxB1qZzXl0Npz6r"
    for value in (key, b"Bearer " + key, b"http://x/?k=" + key, b"gk_anything"):
        assert is_secret(value)
    assert not is_secret(b"ask about gk_live keys")
    assert mask_keys(b"/v1/" + key + b"/x") == b"/v1/gk_***/x"
    assert without_query_key(b"/p?a=1&key=s&b=2", b"key") == b"/p?a=1&b=2"
    assert without_query_key(b"/p?key=s", b"key") == b"/p"
    assert without_query_key(b"/p?a&&b=%2F&c=gk_live_x&=", b"") == b"/p?a&&b=%2F&="
    for untouched in (b"/p?", b"/p?&", b"/p", b"/gk_live_x?a=xgk_", b"/p?a=1&&b"):
        assert without_query_key(untouched, b"key") == untouched


def test_host_names():
    assert host_name(b"a.test:8080") == b"a.test"
    assert host_name(b"a.test.") == b"a.test"
    assert host_name(b"[::1]:80") == b"[::1]"
    assert host_name(b"[::1]") == b"[::1]"


def test_a_memo_stays_small():
    memo = BoundedMemo()
    for number in range(5000):
        memo.remember(b"%d" % number, b"")
    assert len(memo) <= BoundedMemo.LIMIT
