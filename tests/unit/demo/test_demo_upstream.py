"""The demo's API answers as the real ones do."""

import json
from collections.abc import Awaitable, Callable

import pytest
from aiohttp.test_utils import TestClient

from gateway.demo import upstream
from gateway.demo.upstream import build_app

Client = Callable[..., Awaitable[TestClient]]


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstream, "PIECE_SECONDS", 0)


async def test_the_weather_of_a_city_stays_the_same(aiohttp_client: Client) -> None:
    client = await aiohttp_client(build_app())
    answers = [await (await client.get("/v1/weather?city=Oslo")).json() for _ in range(2)]
    assert answers[0] == answers[1]
    assert answers[0]["city"] == "Oslo"
    assert (await client.get("/v1/weather?city=" + "x" * 81)).status == 400


async def test_a_message_is_sent_and_read_back(aiohttp_client: Client) -> None:
    client = await aiohttp_client(build_app())
    sent = await client.post("/messages", json={"to": "+4512345678", "text": "Hello"})
    assert sent.status == 201
    read = await client.get(sent.headers["Location"])
    assert (await read.json())["text"] == "Hello"
    assert (await client.get("/messages/msg_999")).status == 404
    assert len((await (await client.get("/messages")).json())["data"]) == 1


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"to": 1, "text": "x"}', b'"text"', b"\xff"])
async def test_a_bad_message_is_refused(aiohttp_client: Client, body: bytes) -> None:
    client = await aiohttp_client(build_app())
    answer = await client.post("/messages", data=body, headers={"Content-Type": "application/json"})
    assert answer.status in (400, 422)
    assert "message" in (await answer.json())["error"]


async def test_the_chat_streams_and_ends_with_its_usage(aiohttp_client: Client) -> None:
    client = await aiohttp_client(build_app())
    answer = await client.post("/v1/chat/completions", json={"messages": [{"role": "user", "content": "Hello you"}]})
    assert answer.content_type == "text/event-stream"
    events = [line.removeprefix("data: ") for line in (await answer.text()).split("\n\n") if line]
    assert events[-1] == "[DONE]"
    usage = json.loads(events[-2])["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    text = "".join(json.loads(event)["choices"][0]["delta"]["content"] for event in events[:-2])
    assert text == upstream.ANSWER


async def test_the_chat_answers_whole_when_asked(aiohttp_client: Client) -> None:
    client = await aiohttp_client(build_app())
    body = {"stream": False, "messages": [{"role": "user", "content": "Hello"}]}
    answer = await (await client.post("/v1/chat/completions", json=body)).json()
    assert answer["usage"]["total_tokens"] > 0
    assert answer["choices"][0]["message"]["content"] == upstream.ANSWER
