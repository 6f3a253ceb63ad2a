"""Exactness between processes: never one too many, never one too few, whoever is killed."""

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from counting_worker import CHURNED, LIMIT, LIMITS, binding_of, open_worker
from support.services import wait_until

from gateway.clock import SystemClock

SCRIPT = Path(__file__).with_name("counting_worker.py")


def start(folder: Path, name: str, mode: str, count: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, str(SCRIPT), str(folder), name, mode, str(count)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def together(children: list[subprocess.Popen[bytes]]) -> None:
    for child in children:
        assert child.stdout.readline() == b"ready\n"
    for child in children:
        child.stdin.write(b"go\n")
        child.stdin.flush()


@pytest.mark.parametrize("attempt", range(2))
def test_four_processes_pass_exactly_the_limit(attempt, tmp_path):
    children = [start(tmp_path, f"w{number}", "reserve", 64) for number in range(4)]
    together(children)
    admitted = [int(child.communicate(timeout=60)[0]) for child in children]
    assert sum(admitted) == LIMIT, admitted
    store = open_worker(tmp_path, "check")
    states = store.read(binding_of(LIMITS).counters(SystemClock().now()))
    assert [state.remaining for state in states] == [0, 1, 2, 3]
    store.close()


def test_counters_of_one_call_stay_equal_whichever_worker_is_killed(tmp_path):
    seed = random.randrange(1 << 30)
    print("seed", seed)
    random.seed(seed)
    store = open_worker(tmp_path, "check")
    counters = binding_of(CHURNED).counters(SystemClock().now())
    for number in range(4):
        children = [start(tmp_path, f"w{number}.{side}", "churn", 0) for side in range(2)]
        together(children)
        names = [f"w{number}.{side}" for side in range(2)]
        wait_until(lambda names=names: all(map(store.last_operation, names)), "a step of both")
        time.sleep(random.uniform(0.02, 0.1))
        children[0].kill()
        time.sleep(0.02)
        children[1].kill()
        for child in children:
            child.communicate()
        used = {limit.max - state.remaining for limit, state in zip(CHURNED, store.read(counters), strict=True)}
        assert len(used) == 1, used
        assert used.pop() > 0
    store.close()
