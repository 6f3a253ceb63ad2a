"""What only a store of many hosts must do: seeding by epoch, leases and sweeps, and calls while it is away."""

import asyncio
import signal
import time
from dataclasses import replace

import pytest
import redis
from support.redis_counters import PlainRedisStore
from support.services import running_redis

from gateway.clock import SECOND_US, ManualClock, SystemClock
from gateway.config.loader import load
from gateway.config.redis_url import parse_redis_url
from gateway.counters.redis_desk import RedisDesk
from gateway.counters.redis_store import RedisCounterStore
from gateway.counters.seeding import describe
from gateway.errors import StoreUnavailable
from gateway.ids import uuid7
from gateway.quotas.packing import unpack
from gateway.runtime.counting import open_desk

NOW = SystemClock().now


@pytest.fixture
def url(redis_url):
    with redis.Redis.from_url(redis_url) as client:
        client.flushdb()
    return redis_url


@pytest.fixture
def desk(url):
    desk = RedisDesk(parse_redis_url(url))
    yield desk
    desk.close()


@pytest.fixture
def open_redis(url, tmp_path):
    opened = []

    def open_one(name="w1", tenants=("acme",)):
        opened.append(PlainRedisStore(url, name, NOW, tmp_path / "unseeded", tenants=tenants))
        return opened[-1]

    yield open_one
    for store in opened:
        store.close()


@pytest.fixture
def binding(limit_of, bind_to):
    return bind_to([limit_of("calendar", 10), limit_of("sliding", 20, by=("key",)), limit_of("concurrent", 5)])


def remaining(desk, binding):
    return [state.remaining for state in desk.read(binding.counters(NOW()))]


def take(store, binding, units=1):
    call, reservation = uuid7(NOW()), binding.reservation(NOW(), {"calls": units})
    return call, reservation, store.reserve_now(call, reservation)


def test_a_tenant_without_its_mark_is_unseeded(open_redis, binding, desk):
    store = open_redis(tenants=())
    with pytest.raises(StoreUnavailable) as raised:
        take(store, binding)
    assert raised.value.reason == "unseeded"
    assert desk.mark("acme", 0)
    assert not desk.mark("acme", 0)
    assert take(store, binding)[2].admitted


def test_new_counters_are_noted_and_get_the_ledgers_sum_once(open_redis, binding, desk):
    store = open_redis()
    _, _, decision = take(store, binding)
    notes, _ = store.store._notes.read()
    assert [note.created_us for note in notes] == [decision.at_us] * 2
    assert all(desk.seed(note, None, [(decision.at_us - 1, 3)]) for note in notes)
    assert not any(desk.seed(note, None, [(decision.at_us - 1, 3)]) for note in notes)
    assert remaining(desk, binding) == [6, 16, 4]


def test_a_rebuild_makes_counters_before_the_mark(open_redis, binding, desk):
    cut = NOW()
    for counter in binding.counters(cut):
        if (note := describe(counter, cut)) is not None:
            assert desk.seed(note, counter, [(cut - 1, 4)], how=b"make")
    store = open_redis()
    assert [state.remaining for state in take(store, binding)[2].states] == [5, 15, 4]


def let_pass(store, reservation, made, calls=1):
    for call in [uuid7(made) for _ in range(calls)]:
        store._run(store.store.count(call, made, reservation, (1, 1, 0)))
    until(lambda: not store.store.owed)


def seeded_at(desk, binding, cut):
    for counter in binding.counters(cut):
        if (note := describe(counter, cut)) is not None:
            assert desk.seed(note, counter, [], how=b"make")
    desk.mark("acme", cut)


def test_a_call_let_pass_is_counted_on_one_side_of_the_cut(open_redis, binding, desk):
    store, cut = open_redis(tenants=()), NOW()
    reservation = binding.reservation(cut, {"calls": 1})
    seeded_at(desk, binding, cut)
    let_pass(store, reservation, cut - 1)
    assert remaining(desk, binding) == [10, 20, 5]
    let_pass(store, reservation, cut)
    assert remaining(desk, binding) == [9, 19, 5]


def test_a_call_let_pass_is_counted_once_however_often_it_is_told(open_redis, binding, desk):
    store, cut = open_redis(tenants=()), NOW()
    reservation, call = binding.reservation(cut, {"calls": 1}), uuid7(cut)
    seeded_at(desk, binding, cut)
    for _ in range(2):
        store._run(store.store.count(call, cut, reservation, (1, 1, 0)))
        until(lambda: not store.store.owed)
    assert remaining(desk, binding) == [9, 19, 5]


def test_a_counter_made_by_a_call_let_pass_leaves_it_to_the_ledger(open_redis, binding, desk):
    store, made = open_redis(), NOW()  # the tenant is seeded, the counter new: of a limit added in the outage, perhaps
    let_pass(store, binding.reservation(made, {"calls": 1}), made, calls=3)
    assert remaining(desk, binding) == [10, 20, 5]
    notes, _ = store.store._notes.read()
    assert len(notes) == 2
    assert all(note.created_us > made for note in notes)
    assert all(desk.seed(note, None, [(made, 3)]) for note in notes)
    assert remaining(desk, binding) == [7, 17, 5]
    let_pass(store, binding.reservation(made, {"calls": 1}), NOW())
    assert remaining(desk, binding) == [6, 16, 5]


def test_a_call_let_pass_in_an_earlier_sub_bucket_leaves_with_it(url, tmp_path, limit_of, bind_to):
    clock = ManualClock(NOW())
    binding = bind_to([limit_of("sliding", 10, by=("address",))])
    store = PlainRedisStore(url, "w1", clock.now, tmp_path / "unseeded", clock.now, ("acme",))
    reservation = binding.reservation(clock.now(), {"calls": 1}, "192.0.2.1")
    made = clock.now()
    clock.advance(10 * SECOND_US)  # the outage; nothing is there of this address
    store._run(store.store.count(uuid7(made), made, reservation, (4,)))
    until(lambda: not store.store.owed)
    rooms = []
    for _ in range(6):
        clock.advance(20 * SECOND_US)
        rooms.append(store.reserve_now(uuid7(clock.now()), reservation).states[0].remaining)
    assert rooms == [5, 4, 7, 6, 6, 6]
    store.close()


def test_a_call_from_before_the_cut_that_ends_after_the_seeding_is_counted(open_redis, binding, desk):
    store, made = open_redis(tenants=()), NOW() - 10**6
    cut = desk.agree("acme", made + 1)
    reservation = binding.reservation(made, {"calls": 1})
    for counter in binding.counters(cut):
        if (note := describe(counter, cut)) is not None:
            desk.seed(note, counter, [(made, 2)], how=b"make")
    desk.mark("acme", cut, NOW())  # those that had ended until now are in the ledger
    let_pass(store, reservation, made)
    assert remaining(desk, binding) == [7, 17, 5]
    assert store.store._notes.read()[0] == []


def test_hosts_agree_on_one_cut_and_a_mark_holds_only_with_it(binding, desk, url):
    other = RedisDesk(parse_redis_url(url))
    assert (desk.agree("acme", 1000), other.agree("acme", 2000)) == (1000, 1000)
    assert other.is_seeded(["acme"]) == [False]
    assert not other.mark("acme", 2000, 5)
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    assert not desk.mark("acme", 1000, 5)  # what was added before is gone
    assert other.agree("acme", 3000) == 3000
    assert other.mark("acme", 3000, 5)
    assert (desk.agree("acme", 4000), desk.is_seeded(["acme"])) == (0, [True])
    other.close()


def test_what_an_earlier_attempt_added_is_added_anew_for_a_later_cut(binding, desk):
    cut = NOW() - 100
    (counter, *_), sums = binding.counters(cut), ((cut, 3), (cut + 50, 4))
    for begins, units in sums:
        note = describe(counter, begins)
        assert desk.seed(note, counter, [(note.start_us, units)], how=b"make")
        assert not desk.seed(note, counter, [(note.start_us, units)], how=b"make")
    assert desk.read([counter])[0].remaining == 6


def test_many_calls_let_pass_are_told_together(open_redis, binding, desk):
    store, cut = open_redis(tenants=()), NOW()
    reservation = binding.reservation(cut, {"calls": 1})
    for _ in range(400):  # no mark yet: all are owed
        store._run(store.store.count(uuid7(cut), cut + 1, reservation, (0, 0, 0)))
        store._run(store.store.count(uuid7(cut), cut + 1, reservation, (1, 1, 0)))
    assert store.store.owed == 400
    seeded_at(desk, binding, cut)
    until(lambda: not store.store.owed)
    assert [state.over for state in desk.read(binding.counters(NOW()))] == [390, 380, 0]


def test_a_lost_workers_calls_are_swept_and_counted_again_when_its_host_comes_back(open_redis, binding, desk, url):
    store = open_redis("lost")
    call, reservation, _ = take(store, binding)
    settled, _, first = take(store, binding, 2)
    store.settle_now(settled, first.at_us, binding.reservation(NOW(), {"calls": 2}), (2, 2, 0))
    assert desk.expired() == []
    with redis.Redis.from_url(url) as client:
        client.delete("gw:{.}:lease:lost")
    assert desk.expired() == ["lost"]
    assert desk.sweep("lost") == 1
    assert (desk.expired(), desk.sweep("lost")) == ([], 0)
    assert remaining(desk, binding) == [8, 18, 5]
    kept = unpack(reservation.packed)  # as the in-flight slot holds it
    for _ in range(2):
        desk.settle_now(call, 0, kept, (1, 1, 0), incarnation="lost")
    assert remaining(desk, binding) == [7, 17, 5]


def test_recovery_may_ask_for_any_call_any_number_of_times(open_redis, binding, desk, url):
    store = open_redis("dead")
    call, reservation, decision = take(store, binding, 3)
    kept = unpack(reservation.packed)
    for _ in range(2):
        desk.release_now(uuid7(NOW()), decision.at_us, kept, incarnation="dead")
        desk.settle_now(call, decision.at_us, kept, (1, 1, 0), incarnation="dead")
    assert remaining(desk, binding) == [9, 19, 5]
    take(store, binding)
    desk.forget("dead")
    assert remaining(desk, binding) == [9, 19, 5]
    with redis.Redis.from_url(url) as client:
        assert not [key for key in client.scan_iter() if b"dead" in key]


async def test_frozen_redis_costs_a_call_the_deadline_and_what_ended_meanwhile_is_told_later(tmp_path, binding):
    with running_redis() as server:
        address = parse_redis_url(server.url)
        desk = RedisDesk(address)
        desk.mark("acme", 0)
        store = RedisCounterStore(address, "w1", NOW, tmp_path / "unseeded")
        assert await store.until_up(5)
        reservation = binding.reservation(NOW(), {"calls": 1})
        open_call, frozen_call, passed = (uuid7(NOW()) for _ in range(3))
        decision = await store.reserve(open_call, reservation)
        server.process.send_signal(signal.SIGSTOP)
        for call in (frozen_call, passed):  # the first waits for the deadline, the second for nothing
            with pytest.raises(StoreUnavailable):
                await store.reserve(call, reservation)
        await store.settle(open_call, decision.at_us, reservation, (4, 4, 0))
        await store.count(passed, NOW(), reservation, (2, 2, 0))
        server.process.send_signal(signal.SIGCONT)
        assert await store.until_up(10)
        await eventually(lambda: not store.owed)
        assert remaining(desk, binding) == [4, 14, 5]
        await store.close()
        desk.close()


async def test_a_restarted_empty_redis_is_another_epoch(tmp_path, binding):
    with running_redis() as server:
        address = replace(parse_redis_url(server.url), deadline=2.0)
        desk = RedisDesk(address)
        desk.mark("acme", 0)
        store = RedisCounterStore(address, "w1", NOW, tmp_path / "unseeded")
        assert await store.until_up(5)
        reservation = binding.reservation(NOW(), {"calls": 1})
        call = uuid7(NOW())
        decision = await store.reserve(call, reservation)
        server.stop()
        server.start()
        await eventually(lambda: store._nodes.first.is_up)
        with pytest.raises(StoreUnavailable):
            await store.reserve(uuid7(NOW()), reservation)
        with pytest.raises(StoreUnavailable):
            desk.is_seeded(["acme"])
        await asyncio.sleep(1.1)  # the desk tries again after a pause
        cut = NOW()
        assert desk.is_seeded(["acme"]) == [False]
        desk.mark("acme", cut)
        await store.settle(call, decision.at_us, reservation, (9, 9, 0))  # from before the cut: the ledger's to add
        assert (await store.reserve(uuid7(NOW()), reservation)).states[0].remaining == 9
        await store.close()
        desk.close()


async def test_calls_in_progress_keep_their_place_in_a_new_life_of_the_server(tmp_path, binding):
    with running_redis() as server:
        address = replace(parse_redis_url(server.url), deadline=2.0)
        desk = RedisDesk(address)
        desk.mark("acme", 0)
        store = RedisCounterStore(address, "w1", NOW, tmp_path / "unseeded")
        assert await store.until_up(5)
        reservation = binding.reservation(NOW(), {"calls": 1})
        calls = [uuid7(NOW()) for _ in range(3)]
        decisions = [await store.reserve(call, reservation) for call in calls]
        for _ in range(2):
            before = store._nodes.first.epoch
            server.stop()
            server.start()
            await eventually(lambda before=before: store._nodes.first.epoch not in ("", before))
        desk.close()
        desk = RedisDesk(address)
        desk.mark("acme", NOW())
        assert remaining(desk, binding)[2] == 2
        await store.settle(calls[0], decisions[0].at_us, reservation, (1, 1, 0))
        await store.release(calls[1], decisions[1].at_us, reservation)
        assert remaining(desk, binding) == [10, 20, 4]  # what they cost is from before the cut: the ledger's to add
        store._nodes.first.drop("the same life: taken once")
        assert await store.until_up(5)
        assert remaining(desk, binding)[2] == 4
        desk.forget("w1")  # the last one's worker dies
        assert remaining(desk, binding)[2] == 5
        await store.close()
        desk.close()


async def eventually(done, seconds=10.0):
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end
        await asyncio.sleep(0.01)


def until(done, seconds=10.0):
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_command_waits_for_a_busy_redis(own_redis, tmp_path):
    config = tmp_path / "gateway.yaml"
    config.write_text(
        'upstreams: {a: {targets: ["http://a"]}}\nroutes: {r: {match: {paths: [/]}, upstream: a}}\n'
        f"plans: {{p: {{}}}}\ntenants: {{t: {{plan: p}}}}\ncounters: {{url: '{own_redis.url}'}}\n"
    )
    desk = open_desk(load(config, {}), patient=True)
    with redis.Redis.from_url(own_redis.url) as client:
        client.execute_command("CLIENT", "PAUSE", "900", "ALL")
    assert desk.now() > 0
    desk.close()


def test_urls():
    found = parse_redis_url("rediss://me:p%40ss@cache.example/3?ca=/etc/ca.pem")
    assert (found.host, found.port, found.database, found.user, found.password) == (
        "cache.example",
        6379,
        3,
        "me",
        "p@ss",
    )
    assert (found.tls, found.ca) == (True, "/etc/ca.pem")
    for wrong in ("redis://", "redis://h/x", "redis://h:99999/0", "redis://:secret@h/0?ca=x", "rediss://h/0?what=1"):
        with pytest.raises(ValueError, match=r"expected|number|known") as raised:
            parse_redis_url(wrong)
        assert "secret" not in str(raised.value)


def test_counters_that_are_taken_away_are_seeded_again(open_redis, binding, desk):
    store = open_redis()
    call, _, _ = take(store, binding, 3)
    desk.stamp("h1", 50)
    desk.stamp("h1", 40)
    assert desk.stamped("h1") == 50
    assert desk.start_anew() == 3
    assert (desk.is_seeded(["acme"]), desk.stamped("h1")) == ([False], 0)
    with pytest.raises(StoreUnavailable):
        take(store, binding)
    assert desk.mark("acme", 0)
    store.settle_now(call, NOW(), binding.reservation(NOW(), {"calls": 3}), (1, 1, 0))  # it began before
    assert take(store, binding)[2].admitted
