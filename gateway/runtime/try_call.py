"""The try-it panel's client: one real call to this gateway's own data plane, and to nothing else."""

import asyncio
import contextlib
import time
from collections.abc import Callable

import aiohttp
from yarl import URL

from gateway.config.snapshot import Address, Snapshot
from gateway.ui.services import TryAnswer, TryCall, TryFailed

SECONDS = 15.0
MAX_BODY = 48 * 1024
MAX_HEADERS = 100
AT_ONCE = 8
ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - a listener's address, not ours to bind


class Trier:
    """Makes calls, a few at a time."""

    def __init__(self, snapshot: Callable[[], Snapshot]) -> None:
        self._snapshot = snapshot
        self._places = asyncio.Semaphore(AT_ONCE)

    async def __call__(self, call: TryCall) -> TryAnswer:
        """The gateway's answer; its body is cut at 48 KiB or after 15 s. Raises ``TryFailed`` when there is none."""
        if self._places.locked():
            raise TryFailed("Many people are trying calls just now; try again in a moment.")
        async with self._places:
            try:
                return await _make(_base(self._snapshot().server.listen), call)
            except TimeoutError:
                raise TryFailed(f"No answer within {SECONDS:g} seconds.") from None
            except (aiohttp.ClientError, OSError, ValueError) as error:
                # The request's text is not told: it holds the key.
                raise TryFailed(f"The gateway did not answer ({type(error).__name__}).") from None


def _base(listen: Address) -> tuple[str, int]:
    return ANYWHERE.get(listen.host, listen.host), listen.port


async def _make(where: tuple[str, int], call: TryCall) -> TryAnswer:
    path, _, query = call.target.partition("?")
    url = URL.build(scheme="http", host=where[0], port=where[1], path=path, query_string=query, encoded=True)
    headers = {"User-Agent": "gateway-try", "Accept": "*/*", "Accept-Encoding": "identity"}
    if call.host:
        headers["Host"] = call.host
    if call.key:
        headers["X-API-Key"] = call.key
    if call.content_type:
        headers["Content-Type"] = call.content_type
    began = time.monotonic_ns()
    # A connection of its own: no cookie, no state, nothing that the next person's call could meet.
    async with (
        aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), trust_env=False) as session,
        asyncio.timeout(SECONDS),
        session.request(
            call.method,
            url,
            headers=headers,
            data=call.body or None,
            allow_redirects=False,
            skip_auto_headers=("Content-Type",),
        ) as response,
    ):
        body, cut = await _read(response)
        took_us = (time.monotonic_ns() - began) // 1000
        fields = tuple((name, value) for name, value in response.headers.items())[:MAX_HEADERS]
        return TryAnswer(response.status, response.reason or "", fields, body, cut, took_us)


async def _read(response: aiohttp.ClientResponse) -> tuple[bytes, bool]:
    """What came within the size and the time; a stream that goes on is cut, not waited for."""
    parts: list[bytes] = []
    size = 0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(SECONDS - 3):
            async for part in response.content.iter_any():
                parts.append(part)
                size += len(part)
                if size > MAX_BODY:
                    break
            else:
                return b"".join(parts), False
    response.close()
    return b"".join(parts)[:MAX_BODY], True
