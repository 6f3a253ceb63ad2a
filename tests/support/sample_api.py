"""An API of the kinds that clients differ about: echo, redirects, cookies, compression, streams, uploads, WebSocket.

It runs in a thread of the test process, on aiohttp's server.
"""

import asyncio
import gzip
import hashlib
import json
import threading

from aiohttp import WSMsgType, web

CHUNKS = [f"piece {number} ä".encode() * 50 for number in range(20)]


async def echo(request: web.Request) -> web.Response:
    """What arrived, but for what a gateway or the clock adds."""
    body = await request.read()
    return web.json_response(
        {
            "method": request.method,
            "target": request.raw_path,
            "digest": hashlib.sha256(body).hexdigest(),
            "size": len(body),
            "type": request.headers.get("Content-Type"),
            "accept": request.headers.get("Accept"),
            "agent": request.headers.get("User-Agent", "").partition("/")[0],
            "authorization": request.headers.get("Authorization"),
            "cookie": request.headers.get("Cookie"),
            "x": request.headers.getall("X-Thing", []),
        },
        headers={"X-Answer": "one, two"},
    )


async def redirect(request: web.Request) -> web.Response:
    response = web.Response(status=307, headers={"Location": "/echo?redirected=1"})
    response.set_cookie("a", "1")
    response.set_cookie("b", "two")
    return response


async def compressed(request: web.Request) -> web.Response:
    body = gzip.compress(b"".join(CHUNKS), mtime=0)
    return web.Response(body=body, headers={"Content-Encoding": "gzip", "Content-Type": "text/plain"})


async def stream(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/plain"})
    await response.prepare(request)
    for chunk in CHUNKS:
        await response.write(chunk)
        await asyncio.sleep(0)
    return response


async def completions(request: web.Request) -> web.StreamResponse:
    """Chat completions in OpenAI's form: events, the last with the usage, then ``[DONE]``."""
    asked = await request.json()
    frame = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": asked["model"]}
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    for word in ("Hello", " from", " afar"):
        choice = {"index": 0, "delta": {"content": word}, "finish_reason": None}
        await response.write(b"data: %b\n\n" % json.dumps({**frame, "choices": [choice]}).encode())
        await asyncio.sleep(0.01)
    usage = {"prompt_tokens": 5, "completion_tokens": 12, "total_tokens": 17}
    await response.write(b"data: %b\n\n" % json.dumps({**frame, "choices": [], "usage": usage}).encode())
    await response.write(b"data: [DONE]\n\n")
    return response


async def websocket(request: web.Request) -> web.WebSocketResponse:
    """Echoes; ``close`` makes it close with 4001."""
    socket = web.WebSocketResponse(protocols=("chat.v2",), compress=True)
    await socket.prepare(request)
    async for message in socket:
        if message.type is WSMsgType.TEXT and message.data == "close":
            await socket.close(code=4001, message=b"as asked")
        elif message.type is WSMsgType.TEXT:
            await socket.send_str(message.data)
        elif message.type is WSMsgType.BINARY:
            await socket.send_bytes(message.data)
    return socket


class SampleApi:
    """``start`` and ``stop``; listens on ``port``."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(10)

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _start(self) -> None:
        app = web.Application(client_max_size=1 << 30)
        app.router.add_route("*", "/echo", echo)
        app.router.add_route("*", "/redirect", redirect)
        app.router.add_get("/compressed", compressed)
        app.router.add_get("/stream", stream)
        app.router.add_get("/ws", websocket)
        app.router.add_post("/v1/chat/completions", completions)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]
