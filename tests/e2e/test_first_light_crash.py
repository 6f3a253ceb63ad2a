"""``kill -9`` of a worker under load: by sets of ids nothing is lost, nothing is twice, counters are the ledger."""

from collections.abc import Callable
from typing import Any

import pytest
from support.crash import DAILY, Load, check_books, counted_calls, kill_child, read_ledger
from support.process import GatewayProcess, configuration
from support.upstream import RecordingUpstream

KILLS = 3

StartGateway = Callable[[dict[str, Any]], GatewayProcess]


@pytest.mark.parametrize("workers", [1, 2])
def test_nothing_is_lost_and_nothing_is_twice(
    workers: int, upstream: RecordingUpstream, gateway_process: StartGateway
) -> None:
    gateway = gateway_process(configuration(upstream.url, limits=[DAILY], workers=workers))
    load = Load(gateway.listen)
    for _ in range(KILLS):
        load.wait_for(200)
        kill_child(gateway, "worker")
    load.wait_for(200)
    load.stop()
    used = counted_calls(gateway)
    assert gateway.stop() == 0
    check_books(read_ledger(gateway), load, upstream, used, KILLS)
