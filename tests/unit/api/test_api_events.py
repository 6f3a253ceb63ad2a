"""Events from outside: each once for ever, one result each, five ways of counting."""

import itertools

from support.api_world import NOW_US, ApiWorld

from gateway.clock import DAY_US, MINUTE_US
from gateway.period import from_us

BATCH = "application/cloudevents-batch+json"
numbers = itertools.count()


def event(type: str = "job.done", data: object = None, age_us: int = 0, **more: object) -> dict[str, object]:
    made = {"specversion": "1.0", "id": f"e{next(numbers)}", "source": "/jobs", "type": type, "data": data}
    return made | {"time": from_us(NOW_US - age_us).isoformat().replace("+00:00", "Z")} | more


async def post(world: ApiWorld, *events: object, tenant: str | None = "acme") -> tuple[int, dict[str, object]]:
    headers = {"X_Tenant_Id": tenant} if tenant else {}
    token = await world.enter("admin")
    return (await world.ask("POST", "/events", list(events), token, Content_Type=BATCH, **headers))[:2]


async def test_every_meter_counts_its_way(world: ApiWorld) -> None:
    status, found = await post(
        world,
        *(event("job.done", {"size": {"units": n}}, age_us=n) for n in (3, 4, 5)),
        *(event("job.begun") for _ in range(4)),
        *(event("storage.used", {"gb": gb}) for gb in (7, 9, 2)),
        *(event("seats.used", {"person": person}) for person in ("a", "b", "a", 7)),
        event("seats.now", {"n": 5}, age_us=10), event("seats.now", {"n": 8}, age_us=20),
    )  # fmt: skip
    assert (status, found["accepted"], found["rejected"]) == (200, 16, 0)
    _, usage, _ = await world.ask("GET", "/usage", token=await world.enter("owner", "acme"))
    assert usage["total"]["units"] == {"jobs": 12, "begun": 4, "storage": 9, "seats": 3, "seats_now": 5}
    other = await world.enter("owner", "globex")
    assert (await world.ask("GET", "/usage", token=other))[1]["total"]["units"] == {}


async def test_an_event_counts_once_for_ever(world: ApiWorld) -> None:
    one = event("job.begun")
    _, found = await post(world, one, one)
    assert [result["status"] for result in found["results"]] == ["accepted", "duplicate"]
    world.clock.advance(30 * DAY_US)
    token = await world.enter("admin")
    token = (await world.services.sessions.open(world.people["admin"], "")).access
    headers = {"Content_Type": "application/cloudevents+json", "X_Tenant_Id": "acme"}
    status, again, _ = await world.ask("POST", "/events", one | {"data": {"other": 1}}, token, **headers)
    assert (status, again["duplicates"], again["results"][0]["duplicate"]) == (200, 1, True)
    _, mine, _ = await world.ask("POST", "/events", one, token, **headers | {"X_Tenant_Id": "globex"})
    assert mine["accepted"] == 1  # another tenant's event of the same name is another event


async def test_a_repeat_may_be_older_than_a_new_event(world: ApiWorld) -> None:
    one, other = event("job.begun"), event("job.begun")
    await post(world, one)
    world.clock.advance(60 * DAY_US)
    token = (await world.services.sessions.open(world.people["admin"], "")).access
    headers = {"Content_Type": BATCH, "X_Tenant_Id": "acme"}
    status, found, _ = await world.ask("POST", "/events", [other, one, one], token, **headers)
    assert status == 200
    assert [result["status"] for result in found["results"]] == ["rejected", "duplicate", "duplicate"]
    headers["Content_Type"] = "application/cloudevents+json"
    assert (await world.ask("POST", "/events", one, token, **headers))[1]["duplicates"] == 1
    assert (await world.ask("POST", "/events", other, token, **headers))[0] == 422


async def test_results_are_per_event(world: ApiWorld) -> None:
    good = event("job.begun")
    bad = [
        7, {}, event("job.begun", id=""), event("job.begun", source="\x00"), event("no.such"), event("job.done"),
        event("job.done", {"size": {"units": -1}}), event("job.done", {"size": {"units": 1.5}}),
        event("job.done", {"size": {"units": 10**16}}), event("job.done", {"size": {"units": True}}),
        event("job.begun", specversion="0.3"), event("job.begun", time="yesterday"),
        event("job.begun", age_us=35 * DAY_US + MINUTE_US), event("job.begun", age_us=-6 * MINUTE_US),
        event("seats.used", {"person": ""}), event("job.begun", data_base64="eA=="), None, [], "x",
    ]  # fmt: skip
    status, found = await post(world, *bad, good, event("job.begun", age_us=35 * DAY_US - MINUTE_US))
    assert (status, found["accepted"], found["rejected"]) == (200, 2, len(bad))
    assert [result["status"] for result in found["results"]] == ["rejected"] * len(bad) + ["accepted"] * 2
    assert all(result["message"] for result in found["results"][: len(bad)])


async def test_the_subject_names_the_tenant_without_a_header(world: ApiWorld) -> None:
    _, found = await post(
        world,
        event("job.begun", subject="globex"),
        event("job.begun", subject="nobody"),
        event("job.begun"),
        tenant=None,
    )
    assert [result["status"] for result in found["results"]] == ["accepted", "rejected", "rejected"]


async def test_batches_have_bounds(world: ApiWorld) -> None:
    assert (await post(world))[0] == 422
    assert (await post(world, *[event("job.begun")] * 10_001))[0] == 422
    status, found = await post(world, *(event("job.begun") for _ in range(10_000)))
    assert (status, found["accepted"]) == (200, 10_000)
    token = await world.enter("admin")
    assert (await world.ask("POST", "/events", b"[" * 100_000, token, Content_Type=BATCH))[0] == 400
    assert (await world.ask("POST", "/events", b"x", token, Content_Type="text/xml"))[0] == 415
