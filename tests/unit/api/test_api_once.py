"""Idempotency-Key: what is done, who did it and the answer kept are one transaction, wherever the process dies."""

import asyncio
import itertools
import json
import multiprocessing
import os
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from support.api_world import ApiWorld, open_api

from gateway.api.problems import ApiError
from gateway.storage.account_schema import kept_answers
from gateway.storage.ports import PLATFORM

FORK = multiprocessing.get_context("fork")  # a child without a loop or thread of ours, with all imports done
Work = Callable[[ApiWorld], Awaitable[Any]]


async def keys(world: ApiWorld) -> list[str]:
    return [key.name for key in await world.store.keys.list(PLATFORM, "acme")]


async def created(world: ApiWorld) -> list[str]:
    found = await world.store.audit.list(PLATFORM, 200)
    return [entry.detail["name"] for entry in found.rows if entry.action == "key.created"]


async def payments(world: ApiWorld) -> list[str]:
    (invoice,) = await world.services.billing.invoices(PLATFORM, tenant="acme")
    return [one.reference for one in await world.services.billing.payments(PLATFORM, invoice.id)]


async def paid(world: ApiWorld) -> list[str]:
    found = await world.store.audit.list(PLATFORM, 200)
    return [entry.detail["reference"] for entry in found.rows if entry.action == "invoice.pay"]


async def kept(world: ApiWorld) -> list[str]:
    async with world.store.database.read() as connection:
        return list((await connection.execute(sa.select(kept_answers.c.key))).scalars())


def in_world(folder: Path, store_url: str, work: Work) -> Any:
    async def run() -> Any:
        async with open_api(folder, store_url=store_url) as world:
            return await work(world)

    return asyncio.run(run())


def in_process(folder: Path, store_url: str, work: Work) -> Any:
    """Start a child that does the work; its answer goes to a pipe."""
    ours, theirs = FORK.Pipe(duplex=False)

    def child() -> None:
        theirs.send_bytes(json.dumps(in_world(folder, store_url, work)).encode())

    process = FORK.Process(target=child, daemon=True)
    process.start()
    theirs.close()
    return process, ours


def answer(process: Any, pipe: Any) -> Any:
    try:
        return json.loads(pipe.recv_bytes())
    except EOFError:
        return None
    finally:
        process.join(30)


def dying_at(world: ApiWorld, statement: int) -> None:
    """The process ends without a word at the n-th statement or commit from now."""
    left = [statement]

    def count(*_: object) -> None:
        left[0] -= 1
        if left[0] == 0:
            os._exit(9)

    for event in ("before_cursor_execute", "commit", "savepoint"):
        sa.event.listen(world.store.database.engine.sync_engine, event, count)


async def post(world: ApiWorld, what: str, key: str, dies_at: int = 0) -> tuple[int, Any]:
    """One request whose effect is named as its key."""
    path, body = "/keys", {"name": key}
    if what == "payments":
        await world.services.billing.run()
        (invoice,) = await world.services.billing.invoices(PLATFORM, tenant="acme")
        path, body = f"/invoices/{invoice.id}/pay", {"amount": "0.01", "reference": key}
    token = await world.enter("admin")
    if dies_at:
        dying_at(world, dies_at)
    return (await world.ask("POST", path, body, token, Idempotency_Key=key, X_Tenant_Id="acme"))[:2]


EFFECTS = {"keys": (keys, created), "payments": (payments, paid)}
STEP = 1 if os.environ.get("PROVE") == "1" else 7


@pytest.mark.parametrize("what", EFFECTS)
def test_a_death_at_any_statement_leaves_both_or_neither(tmp_path: Path, store_url: str, what: str) -> None:
    effects, told = EFFECTS[what]

    async def look_and_repeat(world: ApiWorld) -> tuple[int, int, int, int, int]:
        before = (await effects(world)).count(key), (await told(world)).count(key), (await kept(world)).count(key)
        status, _ = await post(world, what, key)
        return *before, status, (await effects(world)).count(key)

    seen = set()
    for place in itertools.count(1, STEP):
        key = f"{what} {place}".replace(" ", "-")
        answered = answer(*in_process(tmp_path, store_url, partial(post, what=what, key=key, dies_at=place)))
        done, audited, remembered, status, after = in_world(tmp_path, store_url, look_and_repeat)
        assert done == audited == remembered, place
        assert (status, after) == (201 if what == "keys" else 200, 1)
        seen.add(done)
        if answered is not None:
            break
    print(f"proof: {what}: killed at {place - 1} places, always both or neither")
    assert seen == {0, 1}


def test_many_processes_and_one_key(tmp_path: Path, store_url: str) -> None:
    in_world(tmp_path, store_url, lambda world: world.enter("admin"))
    children = [in_process(tmp_path, store_url, partial(post, what="keys", key="same")) for _ in range(4)]
    answers = [answer(*child) for child in children]
    assert [status for status, _ in answers] == [201] * 4  # the others wait for the first
    assert len({body["secret"] for _, body in answers}) == 1
    assert in_world(tmp_path, store_url, keys).count("same") == 1


async def test_a_refusal_undoes_what_was_begun(tmp_path: Path, store_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_api(tmp_path, store_url=store_url) as world:

        async def late(*_: object) -> None:
            raise ApiError("conflict", "too late")

        token = await world.enter("owner", "acme")
        monkeypatch.setattr(world.services.keys, "_done", late)
        for _ in range(2):
            status, found, _ = await world.ask("POST", "/keys", {"name": "k"}, token, Idempotency_Key="a")
            assert (status, found["detail"]) == (409, "too late")
        assert (await world.ask("POST", "/keys", {"name": "k"}, token))[0] == 409
        assert await keys(world) == []
        monkeypatch.undo()
        assert (await world.ask("POST", "/keys", {"name": "k"}, token, Idempotency_Key="a"))[0] == 409  # it was told so
        assert (await world.ask("POST", "/keys", {"name": "k"}, token))[0] == 201
