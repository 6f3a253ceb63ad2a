"""Redis counters as everybody but a worker's calls sees them: pages, commands, recovery, seeding, the sweep.

Plain calls over redis-py, with a short deadline; after a failure nothing is tried for a moment.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, cast

import redis
from redis.cluster import RedisCluster

from gateway.config.redis_url import RedisAddress
from gateway.counters import redis_form as form
from gateway.counters.entry import Entry
from gateway.counters.redis_form import LIVES, Prepared
from gateway.counters.redis_store import tenant_of
from gateway.counters.seeding import Unseeded
from gateway.errors import StoreUnavailable
from gateway.quotas import calendar, sliding
from gateway.quotas.counter import Bounds, Counter, CounterRequest, LimitState, Reservation
from gateway.quotas.limit import Algorithm, Limit

DEADLINE = 0.25
PAUSE = 1.0
_BATCH = 500
_ERRORS = (redis.RedisError, OSError)


class RedisDesk:
    """One process's view. ``time`` replaces Redis's time in tests."""

    by_call = True
    """Settling and releasing are idempotent by call id and need no journal: recovery may ask for any call."""

    def __init__(
        self, address: RedisAddress, time: Callable[[], int] | None = None, deadline: float = DEADLINE
    ) -> None:
        self._address = address
        self._deadline = deadline
        self._time = time
        self._client: Any = None
        self._cluster = False
        self._epochs: dict[str, str] = {}
        self._down_until = self._epochs_until = 0.0

    def close(self) -> None:
        """Let go of the connections."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def now(self) -> int:
        """Redis's time in microseconds."""
        if self._time is not None:
            return self._time()
        told = self._do(lambda client: client.time(target_nodes="random") if self._cluster else client.time())
        seconds, rest = next(iter(told.values())) if isinstance(told, dict) else told
        return int(seconds) * 1_000_000 + int(rest)

    def epoch(self, tenant: str) -> str:
        """The life of the data of the node that holds a tenant."""
        return cast(str, self._do(lambda client: self._epoch(client, tenant)))

    def read(self, counters: Sequence[Counter], now_us: int = 0) -> tuple[LimitState, ...]:
        """The limits' states without taking. Counters of one tenant only."""
        if not counters:
            return ()
        reservation = Reservation(tuple(CounterRequest(counter, 0) for counter in counters), b"")
        prepared = self._prepared(reservation)
        reply = self._script(prepared.keys, b"L", bytes(16), prepared.counters)
        return prepared.looked(reply)

    # ── recovery ─────────────────────────────────────────────────────────────────────────────────────────────────

    def last_operation(self, incarnation: str) -> None:
        """Nothing is in doubt where every step is idempotent by call id."""

    def settle_now(
        self, call_id: bytes, at_us: int, reservation: Reservation, actual: Sequence[int], *, incarnation: str = ""
    ) -> None:
        """Replace what a dead worker's call reserved; nothing when it ended, or never reserved."""
        self._end(call_id, reservation, actual, incarnation, b"")

    def release_now(self, call_id: bytes, at_us: int, reservation: Reservation, *, incarnation: str = "") -> None:
        """Give back what a dead worker's call reserved."""
        self._end(call_id, reservation, (0,) * len(reservation.requests), incarnation, b"")

    def forget(self, incarnation: str) -> None:
        """Its calls are recovered: what is left was reserved by nobody who will tell."""
        self.sweep(incarnation, leave=b"")

    def _end(
        self, call_id: bytes, reservation: Reservation, actual: Sequence[int], incarnation: str, leave: bytes
    ) -> None:
        prepared = self._prepared(reservation, incarnation)
        self._script(prepared.keys, b"S", call_id, prepared.counters, form.pack_amounts(actual), leave)

    # ── the sweep ────────────────────────────────────────────────────────────────────────────────────────────────

    def expired(self) -> list[str]:
        """The incarnations whose lease has ended."""
        lives = [name.decode() for name in self._ask("smembers", LIVES)]
        return [name for name in lives if not self._ask("exists", form.lease_key(name.encode()))]

    def sweep(self, incarnation: str, leave: bytes = b"swept") -> int:
        """Release all that an incarnation holds; ``swept`` leaves a note for its own host, should that come back."""
        name, released = incarnation.encode(), 0
        for tenant in self._ask("smembers", form.tenants_key(name)):
            text = tenant.decode(errors="surrogateescape")
            prefix = form.key_prefix(text, self.epoch(text))
            key = form.calls_key(prefix, incarnation)
            for call_id, held in self._ask("hgetall", key).items():
                if form.HELD_AT.unpack_from(held)[0] < 0:
                    continue  # swept before
                reservation = reservation_in(held[form.HELD_AT.size :], text)
                self._end(call_id, reservation, (0,) * len(reservation.requests), incarnation, leave)
                released += 1
            if not leave:
                self._ask("delete", key)
        self._ask("srem", LIVES, name)
        if not leave:
            self._ask("delete", form.tenants_key(name))
            self._ask("delete", form.lease_key(name))
        return released

    # ── seeding ──────────────────────────────────────────────────────────────────────────────────────────────────

    def is_seeded(self, tenants: Sequence[str]) -> list[bool]:
        """Which tenants are seeded for the present epoch of their node."""
        keys = [form.mark_key(form.key_prefix(tenant, self.epoch(tenant))) for tenant in tenants]
        if not keys:
            return []

        def ask(client: Any) -> list[bool]:
            found: list[bool] = []
            for start in range(0, len(keys), _BATCH):
                pipeline = client.pipeline(transaction=False)
                for key in keys[start : start + _BATCH]:
                    pipeline.strlen(key)
                found += [length >= form.MARK_SIZE for length in pipeline.execute()]
            return found if self._same_life(client) else []

        return cast("list[bool]", self._do(ask))

    def agree(self, tenant: str, cut_us: int) -> int:
        """The instant from which on a tenant's calls will be counted here: the first host's proposal in this life of
        its node; 0 where the tenant is seeded already."""
        prefix = form.key_prefix(tenant, self.epoch(tenant))
        answer = self._script((form.mark_key(prefix),), b"P", b"", b"", b"%d" % cut_us)
        return 0 if answer == b"marked" else int(answer)

    def mark(self, tenant: str, from_us: int, late_us: int | None = None) -> bool:
        """Say that a tenant is seeded: calls from ``from_us`` on are counted here, and of earlier ones those that
        ended from ``late_us`` on. False if another host was first, or ``from_us`` is not what was agreed on.
        """
        prefix = form.key_prefix(tenant, self.epoch(tenant))
        late = b"" if late_us is None else b"%d" % late_us
        return self._script((form.mark_key(prefix),), b"M", b"", b"", b"%d" % from_us, late) == b"marked now"

    def seed(
        self, note: Unseeded, counter: Counter | None, rows: Iterable[tuple[int, int]], *, how: bytes = b""
    ) -> bool:
        """Add the ledger's rows to a counter, once; ``make`` makes it, ``amend`` adds again, also negative units."""
        counter = counter or _counter_of(note)
        prepared = self._prepared(Reservation((CounterRequest(counter, 0),), b"", note.tenant))
        packed = b"".join([form.ROW.pack(at_us, units) for at_us, units in rows])
        begins = b"%d" % note.created_us
        return self._script(prepared.keys, b"G", bytes(16), prepared.counters, packed, how, begins) == b"seeded now"

    def put(self, counter: Counter, used: int) -> None:
        """Set what a tenant's calendar counter has used in the present window: the sum of what was reported."""
        bounds = counter.bounds
        assert bounds is not None
        start_us = calendar.window_at(bounds, self.now())[0]
        prepared = self._prepared(Reservation((CounterRequest(counter, 0),), b""))
        self._script(prepared.keys, b"G", bytes(16), prepared.counters, form.ROW.pack(start_us, used), b"put")

    def drop(self, counters: Sequence[Counter]) -> None:
        """Take counters away: no limit counts in them any more. One that is wanted again is made anew, and seeded."""
        for counter in counters:
            tenant = _tenant_of_counter(counter)
            self._ask("delete", form.key_prefix(tenant, self.epoch(tenant)) + b"c:" + counter.key)

    def stamp(self, host: str, ledger_us: int) -> None:
        """Note a host's mark in the ledger, unless a later one is noted: that tells of a restored ledger."""
        if ledger_us > self.stamped(host):
            self._ask("set", form.stamp_key(host), ledger_us)

    def stamped(self, host: str) -> int:
        """What was noted last; 0 where nothing is."""
        return int(self._ask("get", form.stamp_key(host)) or 0)

    def start_anew(self) -> int:
        """Take away every counter, so that tenants are seeded from the ledger; how many there were.

        The marks go first: until a tenant is seeded again, policy decides. The stamps go last: a crash begins again.
        """
        gone = [self._do(partial(_unlink, like=like)) for like in (form.MARKS, form.COUNTERS, form.STAMPS)]
        return cast(int, gone[1])

    # ── reconciliation ───────────────────────────────────────────────────────────────────────────────────────────

    def entries(self, counters: Sequence[Counter]) -> Iterator[Entry]:
        """Those of the counters that have an entry, as figures."""
        for start in range(0, len(counters), _BATCH):
            part = counters[start : start + _BATCH]
            prefixes = [form.key_prefix(tenant, self.epoch(tenant)) for tenant in map(_tenant_of_counter, part)]

            def ask(client: Any, part: Sequence[Counter] = part, prefixes: Sequence[bytes] = prefixes) -> list[bytes]:
                pipeline = client.pipeline(transaction=False)
                for counter, prefix in zip(part, prefixes, strict=True):
                    pipeline.getrange(prefix + b"c:" + counter.key, 0, form.WORDS.size - 1)
                found = cast("list[bytes]", pipeline.execute())
                return found if self._same_life(client) else []

            for counter, text in zip(part, self._do(ask), strict=True):
                if len(text) == form.WORDS.size:
                    yield _entry(counter, text)

    # ── Redis ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _prepared(self, reservation: Reservation, incarnation: str = "") -> Prepared:
        return Prepared.of(reservation_of(reservation), self.epoch(tenant_of(reservation)), incarnation, b"")

    def _script(self, keys: Sequence[bytes], operation: bytes, call_id: bytes, counters: bytes, *more: bytes) -> bytes:
        told = b"%d" % self._time() if self._time is not None else b""
        arguments = (*keys, operation, call_id, counters, told, *more)

        def run(client: Any) -> bytes:
            try:
                return cast(bytes, client.evalsha(form.DIGEST, len(keys), *arguments))
            except redis.exceptions.NoScriptError:
                return cast(bytes, client.eval(form.SCRIPT, len(keys), *arguments))

        return cast(bytes, self._do(run))

    def _epoch(self, client: Any, tenant: str) -> str:
        if self._cluster and time.monotonic() >= self._epochs_until:  # its connections come and go by themselves
            self._epochs.clear()
            self._epochs_until = time.monotonic() + PAUSE
        if not self._cluster:
            found = self._epochs.get("")
            if found is None:
                found = self._epochs[""] = client.info("server")["run_id"][: form.EPOCH_DIGITS]
            return found
        node = client.get_node_from_key(form.key_prefix(tenant, ""))
        found = self._epochs.get(node.name)
        if found is None:
            found = self._epochs[node.name] = client.info("server", target_nodes=node)["run_id"][: form.EPOCH_DIGITS]
        return found

    def _same_life(self, client: Any) -> bool:
        """Raises when the connection that told the epoch is gone: a pipeline would have opened another unnoticed."""
        return bool(self._cluster or client.ping())

    def _ask(self, method: str, *arguments: object) -> Any:
        return self._do(lambda client: getattr(client, method)(*arguments))

    def _do(self, work: Callable[[Any], Any]) -> Any:
        """Run ``work`` with a client; raises ``StoreUnavailable``. After a failure the epoch is asked anew."""
        if time.monotonic() < self._down_until:
            raise StoreUnavailable("Redis did not answer a moment ago", "unavailable")
        try:
            if self._client is None:
                self._client = self._connect()
            return work(self._client)
        except _ERRORS as error:
            self.close()
            self._epochs.clear()
            self._down_until = time.monotonic() + PAUSE
            raise StoreUnavailable(f"Redis does not answer: {error}", "unavailable") from error

    def _connect(self) -> Any:
        options = self._address.client_options()
        options |= {"socket_timeout": self._deadline, "socket_connect_timeout": self._deadline}
        # A connection that is lost is an epoch that may have ended: nothing is tried again behind our back.
        retry = redis.retry.Retry(redis.backoff.NoBackoff(), 0)
        client: Any = redis.Redis(db=self._address.database, retry=retry, single_connection_client=True, **options)  # type: ignore[arg-type]
        self._cluster = bool(client.info("cluster").get("cluster_enabled"))
        self._epochs.clear()
        if self._cluster:
            client.close()
            return RedisCluster(**options)  # type: ignore[arg-type]
        return client


def _unlink(client: Any, like: bytes) -> int:
    """Delete all keys like that; how many there were."""
    keys = list(client.scan_iter(match=like, count=_BATCH))
    for start in range(0, len(keys), _BATCH):
        pipeline = client.pipeline(transaction=False)
        for key in keys[start : start + _BATCH]:
            pipeline.unlink(key)
        pipeline.execute()
    return len(keys)


def reservation_of(reservation: Reservation) -> Reservation:
    """The same with its tenant told."""
    return Reservation(reservation.requests, b"", tenant_of(reservation))


def reservation_in(packed: bytes, tenant: str) -> Reservation:
    """The reservation that lies beside a call in Redis."""
    requests = []
    for key, *figures in form.COUNTER.iter_unpack(packed):
        number, amount, maximum, window_us, burst, _, start_us, end_us, next_end_us = map(int, figures)
        algorithm = Algorithm(number)
        limit = Limit("", "", maximum, None, algorithm, burst=burst)
        bounds = Bounds(start_us, end_us, next_end_us) if algorithm is Algorithm.CALENDAR else None
        counter = Counter(key, algorithm, maximum, window_us, burst, bounds, False, limit)
        requests.append(CounterRequest(counter, amount))
    return Reservation(tuple(requests), b"", tenant)


def _counter_of(note: Unseeded) -> Counter:
    """Enough of a counter to add rows to one that is there; its window is told by the note's own length."""
    limit = Limit("", note.meter, 0, None, note.algorithm)
    bounds = Bounds(note.start_us, note.created_us + 1, note.created_us + 2)
    return Counter(note.key, note.algorithm, 0, note.window_us, 0, bounds, False, limit)


def _tenant_of_counter(counter: Counter) -> str:
    return counter.scope.tenant if counter.scope is not None else ""


def _entry(counter: Counter, text: bytes) -> Entry:
    first, second, third, fourth, seeded = map(int, form.WORDS.unpack(text))
    key, algorithm, window_us = counter.key, counter.algorithm, counter.window_us
    if algorithm is Algorithm.SLIDING:
        start_us = -(-(first - sliding.SUB_BUCKETS) * window_us // sliding.SUB_BUCKETS)
        end_us = sliding.leaves_at(window_us, first)
        return Entry(key, algorithm, second, start_us, end_us, fourth, bool(seeded), False)
    used, start_us, end_us = (third, first, second) if algorithm is Algorithm.CALENDAR else (first, second, second)
    return Entry(key, algorithm, used, start_us, end_us, fourth, bool(seeded), False)
