"""Fixtures of the wire tests: a gateway and an upstream on real sockets."""

from collections.abc import AsyncIterator, Callable

import pytest
from support.wire import Gateway, RawUpstream

from gateway.quotas.limit import Algorithm, DurationWindow, Limit


@pytest.fixture
async def upstream() -> AsyncIterator[RawUpstream]:
    upstream = RawUpstream()
    await upstream.start()
    yield upstream
    await upstream.stop()


@pytest.fixture
async def gateway(upstream: RawUpstream) -> AsyncIterator[Gateway]:
    gateway = Gateway(upstream)
    yield gateway
    await gateway.stop()


@pytest.fixture
def minute_limit() -> Callable[[int], Limit]:
    def make(maximum: int) -> Limit:
        return Limit("burst", "calls", maximum, DurationWindow(60_000_000), Algorithm.SLIDING)

    return make
