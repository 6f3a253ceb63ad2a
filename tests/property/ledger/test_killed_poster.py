"""A poster killed at any instant leaves whole batches only, and its successor finishes: nothing lost, nothing twice."""

import asyncio
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.records import frames, varied

from gateway.storage.ports import PLATFORM
from gateway.storage.store import Store, open_store

COUNT = 3_000
BATCH = 50
CODE = f"""
import asyncio, random, sys
from pathlib import Path
from support.records import frames, varied
from gateway.storage.ports import PLATFORM
from gateway.storage.store import open_store

async def main():
    store = await open_store(sys.argv[3], Path(sys.argv[1]))
    spool = frames(varied(random.Random(int(sys.argv[2])), {COUNT}), "a")
    start = (await store.ledger.cursors(PLATFORM)).get("a", 0)
    print("ready", flush=True)
    for start in range(start, len(spool), {BATCH}):
        await store.ledger.post("a", spool[start : start + {BATCH}])
        print(start, flush=True)
    await store.close()

asyncio.run(main())
"""


async def is_whole(store: Store) -> int:
    """The cursor, after checking that exactly what lies before it is in the ledger."""
    ledger = store.ledger
    assert await ledger.rollup_differences(PLATFORM) == []
    sums = await ledger.incarnation_sums(PLATFORM)
    assert [one for one in sums if one.difference] == []
    return sums[0].sequence if sums else 0


@pytest.mark.parametrize("seed", [11])
def test_killed_at_any_time(store_url: str, tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    print("seed", seed)
    tests = Path(__file__).parents[2]

    async def check() -> int:
        store = await open_store(store_url, tmp_path)
        try:
            return await is_whole(store)
        finally:
            await store.close()

    cursor = asyncio.run(check())
    for _ in range(4):
        with subprocess.Popen(
            [sys.executable, "-c", CODE, str(tmp_path), str(seed), store_url],
            stdout=subprocess.PIPE,
            cwd=tests.parent,
            env={"PYTHONPATH": f"{tests.parent}:{tests}", "PATH": "/usr/bin:/bin"},
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            for _ in range(rng.randrange(1, 15)):
                process.stdout.readline()
            process.send_signal(signal.SIGKILL)
        after = asyncio.run(check())
        assert after >= cursor
        cursor = after

    async def finish() -> None:
        store = await open_store(store_url, tmp_path)
        entries = varied(random.Random(seed), COUNT)
        spool = frames(entries, "a")
        cursor = await is_whole(store)
        while cursor < COUNT:
            cursor = await store.ledger.post("a", spool[cursor : cursor + 1000])
        await is_whole(store)
        assert len(await store.ledger.ids(PLATFORM)) == sum(hasattr(one, "id") for one in entries)
        await store.close()

    asyncio.run(finish())
