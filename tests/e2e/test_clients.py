"""Real clients see the same through the gateway as directly: requests, urllib3, httpx, aiohttp, websockets, curl, Node,
and OpenAI's SDK streaming; each call is in the books.
"""

import asyncio
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import aiohttp
import httpx
import pytest
import requests
import urllib3
import websockets
from support.process import KEY, GatewayProcess, configuration
from support.sample_api import CHUNKS, SampleApi

pytestmark = pytest.mark.slow

HEADERS = {"X-API-Key": KEY, "X-Thing": "1"}
BODY = bytes(range(256)) * 2000


def pieces() -> Iterator[bytes]:
    """A body without a length: chunked."""
    for start in range(0, len(BODY), 10_000):
        yield BODY[start : start + 10_000]


@pytest.fixture(scope="module")
def api() -> Iterator[SampleApi]:
    api = SampleApi()
    api.start()
    yield api
    api.stop()


@pytest.fixture(scope="module")
def through(api: SampleApi, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    document = configuration(api.url)
    document["routes"]["main"]["meters"] = {
        "tokens": {"sse": "usage.total_tokens", "estimate": 1},
        "bytes": "response_bytes",
    }
    gateway = GatewayProcess(tmp_path_factory.mktemp("gateway"), document)
    gateway.start()
    yield gateway
    gateway.stop()


def with_requests(base: str) -> list[Any]:
    with requests.Session() as session:
        session.headers.update(HEADERS)
        followed = session.get(f"{base}/redirect")
        return [
            session.post(f"{base}/echo?a=%2F&b=%C3%A4", data=BODY).json(),
            session.put(f"{base}/echo", data=pieces()).json(),
            (followed.json(), [one.status_code for one in followed.history], session.cookies.get_dict()),
            session.get(f"{base}/compressed").content == b"".join(CHUNKS),
            b"".join(session.get(f"{base}/stream", stream=True).iter_content(777)) == b"".join(CHUNKS),
            (session.head(f"{base}/echo").headers["X-Answer"], session.options(f"{base}/echo").json()),
            session.get(f"{base}/echo", auth=("user", "secret")).json()["authorization"],
        ]


def with_urllib3(base: str) -> list[Any]:
    form = {"file": ("a.bin", BODY)}
    with urllib3.PoolManager(headers=HEADERS) as pool:
        return [
            json.loads(pool.request("POST", f"{base}/echo", fields=form, multipart_boundary="b").data),
            json.loads(pool.request("PATCH", f"{base}/echo", body=pieces(), chunked=True).data),
            pool.request("GET", f"{base}/compressed", headers=HEADERS | {"Accept-Encoding": "gzip"}).data[:50],
            b"".join(pool.request("GET", f"{base}/stream", preload_content=False).stream(100)) == b"".join(CHUNKS),
        ]


def with_httpx(base: str) -> list[Any]:
    with httpx.Client(base_url=base, headers=HEADERS, follow_redirects=True) as client:
        with client.stream("GET", "/stream") as streamed:
            whole = b"".join(streamed.iter_raw())
        return [
            client.post("/echo", json={"ä": [1, 2]}).json(),
            client.post("/echo", content=pieces()).json(),
            client.get("/redirect").json(),
            client.get("/compressed").text,
            whole == b"".join(CHUNKS),
            client.request("PROPFIND", "/echo").json()["method"],
        ]


def with_aiohttp(base: str) -> list[Any]:
    async def run() -> list[Any]:
        async with aiohttp.ClientSession(base, headers=HEADERS) as session:
            async with session.post("/echo", data=BODY, expect100=True) as answer:
                expected = await answer.json()
            async with session.post("/echo", data=BODY, chunked=True) as answer:
                chunked = await answer.json()
            async with session.get("/redirect") as answer:
                followed = await answer.json()
            async with session.ws_connect("/ws", protocols=("chat.v2",), compress=15) as socket:
                await socket.send_str("ä" * 70_000)
                text = await socket.receive_str()
                await socket.send_bytes(BODY)
                binary = await socket.receive_bytes()
                await socket.send_str("close")
                end = await socket.receive()
                talk = [
                    socket.protocol,
                    socket.compress,
                    text == "ä" * 70_000,
                    binary == BODY,
                    end.type,
                    end.data,
                    end.extra,
                ]
            return [expected, chunked, followed, talk]

    return asyncio.run(run())


def with_websockets(base: str) -> list[Any]:
    async def run() -> list[Any]:
        url = base.replace("http", "ws") + "/ws"
        seen: list[Any] = []
        async with websockets.connect(
            url, additional_headers=HEADERS, subprotocols=[websockets.Subprotocol("chat.v2")]
        ) as socket:
            seen += [socket.subprotocol, [extension.name for extension in socket.protocol.extensions]]
            await (await socket.ping())
            for message in ("hello", BODY, "x" * 200_000):
                await socket.send(message)
                seen.append(await socket.recv() == message)
            await socket.send("close")
            with pytest.raises(websockets.ConnectionClosed) as closed:
                await socket.recv()
            seen.append((closed.value.rcvd.code, closed.value.rcvd.reason) if closed.value.rcvd else None)
        async with websockets.connect(url, additional_headers=HEADERS) as socket:
            await socket.close(4999, "enough")
            seen.append((socket.close_code, socket.close_reason))
        return seen

    return asyncio.run(run())


def with_curl(base: str) -> list[Any]:
    def curl(*arguments: str, data: bytes = b"") -> str:
        headers = [part for name, value in HEADERS.items() for part in ("-H", f"{name}: {value}")]
        command = ["curl", "-sS", "--path-as-is", *headers, *arguments]
        return subprocess.run(command, input=data, capture_output=True, check=True, timeout=30).stdout.decode()

    return [
        json.loads(curl(f"{base}/echo?x=[1]", "-g")),
        json.loads(curl(f"{base}/echo", "-T", "-", data=BODY)),
        json.loads(curl(f"{base}/echo", "-H", "Expect: 100-continue", "--data-binary", "@-", data=BODY)),
        json.loads(curl(f"{base}/echo", "-0", "-X", "DELETE")),
        curl(f"{base}/compressed", "--compressed"),
        curl("-I", f"{base}/echo").splitlines()[0],
        json.loads(curl("-L", f"{base}/redirect", "-b", "")),
    ]


NODE = """
const http = require("http"), base = process.argv[1], headers = JSON.parse(process.argv[2]);
(async () => {
  const out = [], body = Buffer.alloc(300000, "ab");
  out.push(await (await fetch(base + "/echo?n=1", {method: "POST", body, headers})).json());
  const stream = new ReadableStream({start(c) { c.enqueue(body); c.enqueue(body); c.close(); }});
  out.push(await (await fetch(base + "/echo", {method: "PUT", body: stream, duplex: "half", headers})).json());
  out.push(await (await fetch(base + "/redirect", {headers})).json());
  out.push(await (await fetch(base + "/compressed", {headers})).text());
  const agent = new http.Agent({keepAlive: true});
  for (let i = 0; i < 3; i++) out.push(await new Promise((done, fail) => {
    const request = http.request(base + "/echo", {agent, method: "POST", headers}, (answer) => {
      let text = ""; answer.on("data", (d) => text += d); answer.on("end", () => done(JSON.parse(text)));
    });
    request.on("error", fail); request.write("one"); request.end("two");
  }));
  agent.destroy();
  console.log(JSON.stringify(out));
})();
"""


def with_node(base: str) -> list[Any]:
    command = ["node", "-e", NODE, base, json.dumps(HEADERS)]
    done = subprocess.run(command, capture_output=True, check=True, timeout=60)
    return json.loads(done.stdout)  # type: ignore[no-any-return]


CLIENTS: dict[str, Callable[[str], list[Any]]] = {
    name.removeprefix("with_"): function for name, function in list(globals().items()) if name.startswith("with_")
}


@pytest.mark.parametrize("name", CLIENTS)
def test_a_client_sees_no_difference(name: str, api: SampleApi, through: GatewayProcess) -> None:
    if name in ("curl", "node") and shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    assert CLIENTS[name](through.url) == CLIENTS[name](api.url)


def test_openais_sdk_streams_and_its_tokens_are_billed(api: SampleApi, through: GatewayProcess) -> None:
    openai = pytest.importorskip("openai")
    with openai.OpenAI(base_url=f"{through.url}/v1", api_key=KEY, max_retries=0) as client:
        stream = client.chat.completions.create(
            model="m", messages=[{"role": "user", "content": "hi"}], stream=True, stream_options={"include_usage": True}
        )
        events = list(stream)
    assert "".join(event.choices[0].delta.content for event in events if event.choices) == "Hello from afar"
    assert events[-1].usage.total_tokens == 17
    calls = through.command_json("calls", "--tenant", "acme")
    rows = calls["data"] if isinstance(calls, dict) else calls
    assert [row["units"]["tokens"] for row in rows if row["path"] == "/v1/chat/completions"] == [17]
