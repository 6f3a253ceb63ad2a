"""What reaches the log: facts of ours, and no bytes of strangers."""

import asyncio
import logging

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from gateway.runtime.logs import OursAlone


async def fault(request: web.Request) -> web.Response:
    raise RuntimeError("ours")


@pytest.mark.parametrize(
    ("request_line", "logged"),
    [
        ("GET / HTTP/1.1\r\nHost: x\r\nCookie: gw_session=" + "a" * 9000, []),
        ("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: x", []),
        ("GET / HTTP/1.1\r\nHost: x", ["ours"]),
    ],
)
async def test_requests_that_are_none_leave_no_traceback(
    caplog: pytest.LogCaptureFixture, request_line: str, logged: list[str]
) -> None:
    logger, ours = logging.getLogger("aiohttp.server"), OursAlone()
    app = web.Application()
    app.router.add_get("/", fault)
    logger.addFilter(ours)
    try:
        async with TestServer(app) as server:
            reader, writer = await asyncio.open_connection(server.host, server.port)
            writer.write(f"{request_line}\r\nConnection: close\r\n\r\n".encode())
            answer = await reader.read()
            writer.close()
    finally:
        logger.removeFilter(ours)
    assert answer.split()[1] == (b"500" if logged else b"400")
    assert [str(record.exc_info[1]) for record in caplog.records if record.exc_info] == logged
