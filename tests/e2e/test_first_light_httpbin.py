"""httpbin under gunicorn, direct and through the gateway: the same status, headers and body."""

import gzip
import http.client
import json
import os
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.process import KEY, GatewayProcess, configuration
from support.services import accepts, free_port, stop_process, wait_until

pytestmark = pytest.mark.slow

HOST = "httpbin.test"
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "date"}
GATEWAY_ANSWER = {"x-request-id", "ratelimit", "ratelimit-policy"}
GATEWAY_REQUEST = {"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Request-Id", "X-Tenant-Id", "X-Plan"}

REQUESTS: list[tuple[str, str, dict[str, str], bytes | None]] = [
    ("GET", "/get?a=1&a=2&b=%27%20", {}, None),
    ("HEAD", "/image/png", {}, None),
    ("OPTIONS", "/get", {}, None),
    ("POST", "/post", {"Content-Type": "application/json"}, b'{"a": [1, 2, "\xc3\xa5"]}'),
    ("POST", "/post", {"Content-Type": "application/x-www-form-urlencoded"}, b"a=1&b=%20"),
    ("POST", "/post", {}, b""),
    ("PUT", "/put", {"Content-Type": "application/octet-stream"}, bytes(range(256)) * 300),
    ("PATCH", "/patch", {}, b"x"),
    ("DELETE", "/delete", {}, None),
    ("GET", "/anything/a//b;c/%2F/%20?q=%zz", {"Accept": "text/html", "Cookie": "a=1; b=2"}, None),
    *(("GET", f"/status/{status}", {}, None) for status in (200, 204, 304, 404, 418, 500, 503)),
    ("GET", "/redirect/2", {}, None),
    ("GET", "/absolute-redirect/1", {}, None),
    ("GET", "/cookies/set?x=1&y=2", {}, None),
    ("GET", "/response-headers?X-A=1&X-A=2&Content-Type=text/plain", {}, None),
    ("GET", "/gzip", {"Accept-Encoding": "gzip"}, None),
    ("GET", "/deflate", {"Accept-Encoding": "deflate"}, None),
    ("GET", "/encoding/utf8", {}, None),
    ("GET", "/image/png", {}, None),
    ("GET", "/stream-bytes/5000?seed=7&chunk_size=100", {}, None),
    ("GET", "/stream/5", {}, None),
    ("GET", "/drip?numbytes=10&duration=0.2&delay=0", {}, None),
    ("GET", "/range/1000", {"Range": "bytes=10-99"}, None),
    ("GET", "/etag/abc", {"If-None-Match": "abc"}, None),
    ("GET", "/cache", {"If-Modified-Since": "Sat, 01 Jan 2022 00:00:00 GMT"}, None),
    ("GET", "/basic-auth/user/secret", {"Authorization": "Basic dXNlcjpzZWNyZXQ="}, None),
    ("GET", "/basic-auth/user/secret", {}, None),
]


@pytest.fixture(scope="module")
def httpbin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder: Path = tmp_path_factory.mktemp("httpbin")
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "-b", f"127.0.0.1:{port}", "-k", "gthread", "--threads", "4"]
    with (folder / "log").open("wb") as log:
        environment = os.environ | {"HOME": str(folder)}  # gunicorn keeps a control socket in ~/.gunicorn
        process = subprocess.Popen([*command, "httpbin:app"], stdout=log, stderr=log, cwd=folder, env=environment)
    try:
        wait_until(lambda: "Booting worker" in (folder / "log").read_text() and accepts(port), "httpbin's start")
        yield f"127.0.0.1:{port}"
    finally:
        stop_process(process)


def _exchange(address: str, request: tuple[str, str, dict[str, str], bytes | None]) -> tuple[int, str, Any, bytes]:
    method, target, headers, body = request
    connection = http.client.HTTPConnection(address, timeout=30)
    try:
        connection.request(method, target, body, {"Host": HOST, "X-API-Key": KEY, **headers})
        answer = connection.getresponse()
        fields = [pair for pair in answer.getheaders() if pair[0].lower() not in HOP_BY_HOP | GATEWAY_ANSWER]
        return answer.status, answer.reason, fields, answer.read()
    finally:
        connection.close()


def _without_gateway(fields: list[tuple[str, str]], body: bytes) -> tuple[list[tuple[str, str]], Any]:
    """An answer that echoes its request, without what the gateway is meant to add or take away."""
    unpack = {"gzip": gzip.decompress, "deflate": zlib.decompress}.get(dict(fields).get("Content-Encoding", ""), bytes)
    documents = _documents(unpack(body))
    if not documents:
        return fields, body
    for document in documents:
        for name in GATEWAY_REQUEST | {"X-Api-Key", "Connection"}:
            document["headers"].pop(name, None)
    return [pair for pair in fields if pair[0].lower() != "content-length"], documents


def _documents(body: bytes) -> list[dict[str, Any]]:
    """The JSON documents of a body, one or one a line, that echo a request's headers; empty for any other body."""
    for texts in ([body], body.splitlines()):
        try:
            documents = [json.loads(text) for text in texts]
        except ValueError:
            continue
        if all(isinstance(document, dict) and "headers" in document for document in documents):
            return documents
    return []


def test_the_gateway_is_invisible(httpbin: str, gateway_process: Callable[[dict[str, Any]], GatewayProcess]) -> None:
    gateway = gateway_process(configuration(f"http://{httpbin}"))
    for request in REQUESTS:
        direct, through = _exchange(httpbin, request), _exchange(gateway.listen, request)
        assert through[:2] == direct[:2], request
        assert _without_gateway(*through[2:]) == _without_gateway(*direct[2:]), request
