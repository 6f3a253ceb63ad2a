"""The crash harness: ``kill -9`` of a worker, the shipper, the control process and everything, at seeded random times.

Two rounds on each store; ``make prove`` runs twenty. SEED chooses another order and other times.
"""

import os
import random
import time
from collections.abc import Callable
from typing import Any

import pytest
from support.crash import (
    DAILY,
    SQLITE,
    Load,
    check_books,
    counted_calls,
    kill_child,
    kill_everything,
    read_ledger,
)
from support.process import GatewayProcess, configuration
from support.services import wait_until
from support.upstream import RecordingUpstream

ROUNDS = int(os.environ.get("CRASH_ROUNDS", "2"))
VICTIMS = ("worker", "shipper", "control", "everything")

StartGateway = Callable[[dict[str, Any]], GatewayProcess]


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("store", ["sqlite", pytest.param("postgresql", marks=pytest.mark.service)])
def test_whatever_dies_the_books_are_whole(
    store: str, upstream: RecordingUpstream, gateway_process: StartGateway, request: pytest.FixtureRequest
) -> None:
    seed = int(os.environ.get("SEED", "5"))
    rng = random.Random(seed)
    document = configuration(upstream.url, limits=[DAILY], workers=2)
    url = SQLITE
    if store == "postgresql":
        url = request.getfixturevalue("postgres_url")
        document |= {"store": {"url": url}, "accounts": {"secret": "a secret that many hosts would share"}}
    gateway = gateway_process(document)
    load = Load(gateway.listen)
    restarts, kills = [], 0
    for _ in range(ROUNDS):
        for victim in rng.sample(VICTIMS, len(VICTIMS)):
            load.wait_for(rng.randrange(1, 150))
            time.sleep(rng.random() * 0.2)
            if victim == "everything":
                restarts.append(kill_everything(gateway))
                kills += 2  # both workers
            else:
                kill_child(gateway, victim)
                kills += victim == "worker"
    load.wait_for(100)
    load.stop()
    wait_until(gateway.ready, "everything running again")
    used = counted_calls(gateway)
    reconciled = gateway.command("reconcile")
    assert reconciled.returncode == 0, reconciled.stdout + reconciled.stderr
    assert gateway.stop() == 0
    figures = check_books(read_ledger(gateway, url), load, upstream, used, kills)
    print(f"\nproof: {store}, seed {seed}, {ROUNDS} rounds of {', '.join(VICTIMS)}: {figures}")
    print(f"proof: {store}: restart to first accept {min(restarts):.2f} to {max(restarts):.2f} s")
