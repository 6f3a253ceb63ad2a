"""A worker killed between any two steps of its calls, and recovery killed between any two of its own."""

import random
from collections.abc import Callable
from typing import Any

import pytest

NewScene = Callable[[], Any]
NewSchedule = Callable[[random.Random, int], list[int]]

STEPS_OF_A_CALL = 11


@pytest.mark.parametrize("die_after", range(2 * STEPS_OF_A_CALL + 1))
def test_a_worker_killed_at_any_step(new_scene: NewScene, die_after: int) -> None:
    scene = new_scene()
    # Call 2 is not billable; call 0 stands open in the middle while it comes and goes.
    scene.run_worker("w-0-a", [0] * 4 + [2] * 9 + [0] * 9, die_after)
    scene.recover()
    scene.check()


def test_recovery_killed_at_any_step(new_scene: NewScene) -> None:
    schedule = [0] * 4 + [1] * 3 + [2] * 5 + [3] * 2
    for worker_dies in (11, 15, 17, 19, 20, 22, 25):
        whole = new_scene()
        whole.run_worker("w-0-a", schedule, worker_dies)
        steps = whole.recover()
        whole.check()
        for recovery_dies in range(steps):
            scene = new_scene()
            scene.run_worker("w-0-a", schedule, worker_dies)
            scene.recover(recovery_dies)
            scene.recover()
            scene.check()


def test_any_interleaving_with_everybody_killed_again_and_again(new_scene: NewScene, new_schedule: NewSchedule) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    for _ in range(25):
        scene = new_scene()
        for life in range(2):
            schedule = new_schedule(chance, 6)
            scene.run_worker(f"w-0-{life}", schedule, chance.randrange(6 * STEPS_OF_A_CALL))
            while chance.random() < 0.6:
                scene.recover(chance.randrange(12))
        scene.recover()
        scene.check()
