"""The API behind the demo: a weather endpoint, messages as an SMS API has them, and a chat that streams tokens.

A process of its own (``python -m gateway.demo.upstream FD``) on a socket that it inherits. It ends when its standard
input closes, which is when the demo is gone.
"""

import asyncio
import json
import signal
import socket
import sys
import zlib
from collections import OrderedDict
from collections.abc import Iterator

from aiohttp import web

MESSAGES_KEPT = 10_000
PIECE_SECONDS = 0.04
ANSWER = "Every call was counted once, in the order in which it arrived, and the bill is a sum of the very same rows."
WORDS = tuple(ANSWER.split(" "))


async def weather(request: web.Request) -> web.Response:
    """``GET /v1/weather?city=Oslo``: the same city has the same weather, so that a repeat can be compared."""
    city = request.query.get("city", "Oslo").strip()
    if not city or len(city) > 80:
        return _error(400, "city must have 1 to 80 characters")
    seed = zlib.crc32(city.casefold().encode())
    sky = ("clear", "cloudy", "rain", "snow", "fog")[seed % 5]
    return web.json_response({"city": city, "celsius": seed // 7 % 45 - 10, "sky": sky, "humidity": seed // 11 % 100})


class Messages:
    """``POST /messages`` and ``GET /messages/{id}``; the newest ``MESSAGES_KEPT`` are kept in memory."""

    def __init__(self) -> None:
        self._messages: OrderedDict[str, dict[str, str]] = OrderedDict()
        self._last = 0

    async def create(self, request: web.Request) -> web.Response:
        try:
            body = await request.json()
        except ValueError:
            return _error(400, "the body must be JSON")
        wanted = {name: body.get(name) for name in ("to", "text")} if isinstance(body, dict) else {}
        fields = {name: value for name, value in wanted.items() if isinstance(value, str) and value}
        if len(fields) != 2:
            return _error(422, 'send {"to": "+4512345678", "text": "Hello"}')
        self._last += 1
        message = {"id": f"msg_{self._last}", **fields, "status": "sent"}
        self._messages[message["id"]] = message
        if len(self._messages) > MESSAGES_KEPT:
            self._messages.popitem(last=False)
        return web.json_response(message, status=201, headers={"Location": f"/messages/{message['id']}"})

    async def read(self, request: web.Request) -> web.Response:
        message = self._messages.get(request.match_info["id"])
        return web.json_response(message) if message else _error(404, "no such message")

    async def list(self, request: web.Request) -> web.Response:
        return web.json_response({"data": list(self._messages.values())[-20:]})


async def chat(request: web.Request) -> web.StreamResponse:
    """``POST /v1/chat/completions``: an OpenAI-like answer, streamed unless ``"stream": false``; usage comes last."""
    try:
        body = await request.json()
    except ValueError:
        return _error(400, "the body must be JSON")
    messages = body.get("messages") if isinstance(body, dict) else None
    if not isinstance(messages, list) or not messages:
        return _error(422, 'send {"messages": [{"role": "user", "content": "Hello"}]}')
    prompt = sum(len(str(message).split()) for message in messages)
    usage = {"prompt_tokens": prompt, "completion_tokens": len(WORDS), "total_tokens": prompt + len(WORDS)}
    if body.get("stream") is False:
        choice = {"index": 0, "message": {"role": "assistant", "content": ANSWER}, "finish_reason": "stop"}
        return web.json_response({"object": "chat.completion", "choices": [choice], "usage": usage})
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
    await response.prepare(request)
    for event in _events(usage):
        await response.write(b"data: " + event.encode() + b"\n\n")
        await asyncio.sleep(PIECE_SECONDS)
    await response.write(b"data: [DONE]\n\n")
    await response.write_eof()
    return response


def _events(usage: dict[str, int]) -> Iterator[str]:
    for number, word in enumerate(WORDS):
        text = f" {word}" if number else word
        yield json.dumps({"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": text}}]})
    yield json.dumps({"object": "chat.completion.chunk", "choices": [], "usage": usage})


async def health(request: web.Request) -> web.Response:
    """``GET /healthz``."""
    return web.json_response({"status": "ok"})


def _error(status: int, message: str) -> web.Response:
    return web.json_response({"error": {"message": message}}, status=status)


def build_app() -> web.Application:
    """The whole API."""
    app = web.Application(client_max_size=1 << 20)
    messages = Messages()
    app.add_routes(
        [
            web.get("/healthz", health),
            web.get("/v1/weather", weather),
            web.post("/messages", messages.create),
            web.get("/messages", messages.list),
            web.get("/messages/{id}", messages.read),
            web.post("/v1/chat/completions", chat),
        ]
    )
    return app


async def serve(listener: socket.socket) -> None:
    """Serve until standard input closes. Ctrl-C is the demo's affair: the gateway drains first."""
    runner = web.AppRunner(build_app(), access_log=None, handle_signals=False)
    await runner.setup()
    await web.SockSite(runner, listener, backlog=1024).start()
    loop = asyncio.get_running_loop()
    gone = asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), gone.set)
    loop.add_signal_handler(signal.SIGTERM, gone.set)
    await gone.wait()
    loop.remove_reader(sys.stdin.fileno())
    await runner.cleanup()


def main() -> None:
    """Serve on the inherited socket whose descriptor is the first argument."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asyncio.run(serve(socket.socket(fileno=int(sys.argv[1]))))


if __name__ == "__main__":
    main()
