"""What goes to Redis and comes back, as bytes: keys, counters, commands, decisions. ``redis.lua`` is the other side."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha1
from importlib import resources
from struct import Struct
from typing import Final

from gateway.errors import StoreUnavailable
from gateway.quotas.counter import Counter, Decision, DecisionFlag, LimitState, Reservation, effective_end
from gateway.quotas.limit import Algorithm, Limit

SCRIPT: Final = resources.files("gateway.counters").joinpath("redis.lua").read_bytes()
DIGEST: Final = sha1(SCRIPT, usedforsecurity=False).hexdigest()  # what Redis itself calls a script by
EPOCH_DIGITS: Final = 12

COUNTER: Final = Struct("<16s9d")  # key, algorithm, amount, max, window, burst, flags, three bounds
HELD_AT: Final = Struct("<d")
ROW: Final = Struct("<qq")
WORDS: Final = Struct("<5d")
REGISTRY: Final = "."  # stands for a tenant in the keys of what is no tenant's; no tenant can have the name
LIVES: Final = b"gw:{.}:lives"
"""The worker incarnations that may hold reservations."""
HARD, SHARED, SEEDS = 1, 2, 4
REPLY_HEAD, REPLY_STATE = 2, 6  # words
MARK_SIZE: Final = 16
_SEEDED: Final[tuple[Algorithm, ...]] = (Algorithm.CALENDAR, Algorithm.SLIDING)


def key_prefix(tenant: str, epoch: str) -> bytes:
    """Every key of a tenant starts so: one slot of a cluster, and nothing of an earlier life of the server is seen."""
    return f"gw:{{{tenant}}}:{epoch}:".encode(errors="surrogateescape")


def stamp_key(host: str) -> bytes:
    """Up to when the ledger was complete when a host last looked (``RedisDesk.stamp``)."""
    return b"gw:{.}:ledger:" + host.encode()


STAMPS, MARKS, COUNTERS = stamp_key("*"), b"gw:{*}:*:m", b"gw:{*}:*:c:*"
"""What keys look like, to find all."""


def lease_key(incarnation: bytes) -> bytes:
    """There while a worker incarnation lives, and some seconds longer."""
    return b"gw:{.}:lease:" + incarnation


def tenants_key(incarnation: bytes) -> bytes:
    """The tenants of which an incarnation may hold reservations."""
    return b"gw:{.}:tenants:" + incarnation


def mark_key(prefix: bytes) -> bytes:
    """Whether the tenant is seeded for this epoch, from which time on, and the newest time given; until it is, the
    cut that is agreed on alone, which is shorter."""
    return prefix + b"m"


def calls_key(prefix: bytes, incarnation: str) -> bytes:
    """The reservations of one worker incarnation, by call id."""
    return prefix + b"r:" + incarnation.encode()


def counted_key(prefix: bytes) -> bytes:
    """The calls that were counted after the fact."""
    return prefix + b"a"


def counter_keys(prefix: bytes, reservation: Reservation) -> list[bytes]:
    """The keys of a reservation's counters, in its order."""
    return [prefix + b"c:" + request.counter.key for request in reservation.requests]


def needs_seed(counter: Counter) -> bool:
    """Whether a new counter lacks what the ledger knows."""
    return counter.scope is not None and counter.algorithm in _SEEDED


def pack_counters(reservation: Reservation) -> bytes:
    """The counters as the script reads them, and as a sweep finds them beside a call that nobody ends."""
    parts, seen = [], set()
    for request in reservation.requests:
        counter, bounds = request.counter, request.counter.bounds
        flags = HARD * (counter.limit.mode == "hard") + SHARED * (counter.key in seen) + SEEDS * needs_seed(counter)
        seen.add(counter.key)
        first, last, after = (bounds.start_us, bounds.end_us, bounds.next_end_us) if bounds else (0, 0, 0)
        parts.append(
            COUNTER.pack(
                counter.key, counter.algorithm, request.amount, counter.max, counter.window_us, counter.burst, flags,
                first, last, after,
            )
        )  # fmt: skip
    return b"".join(parts)


def pack_amounts(amounts: Sequence[int]) -> bytes:
    """Units per counter."""
    return Struct(f"<{len(amounts)}q").pack(*amounts)


def pack_passed(call_id: bytes, at_us: int, ended_us: int, amounts: Sequence[int]) -> bytes:
    """A call that was let pass: its id, its time, when it had ended, its units per counter."""
    return Struct(f"<16s{2 + len(amounts)}q").pack(call_id, at_us, ended_us, *amounts)


def counters_begun(reply: bytes) -> tuple[Sequence[int], int]:
    """Which counters were made for calls that were let pass, and when; they lack the ledger's sum."""
    at_us, *numbers = Struct(f"<{len(reply) // 8}q").unpack(reply)
    return numbers, at_us


def command(*parts: bytes) -> bytes:
    """A command in RESP."""
    return b"*%d\r\n" % len(parts) + b"".join([bulk(part) for part in parts])


def bulk(part: bytes) -> bytes:
    """One argument in RESP."""
    return b"$%d\r\n%b\r\n" % (len(part), part)


def script_call(keys: Sequence[bytes], arguments: Sequence[bytes]) -> bytes:
    """One call of the script, in RESP."""
    return command(b"EVALSHA", DIGEST.encode(), b"%d" % len(keys), *keys, *arguments)


@dataclass(frozen=True)
class Prepared:
    """All of a reserve, and of an end, that is the same for every call of one reservation, packed once.

    A whole reserve is ``head + call id + middle + not-after``; an end is ``end_head + call id + end_middle + figures``.
    """

    reservation: Reservation
    prefix: bytes
    keys: tuple[bytes, ...]
    counters: bytes
    head: bytes
    middle: bytes
    end_head: bytes
    end_middle: bytes
    amounts: Struct
    limits: tuple[tuple[Limit, bool], ...]  # each with whether it is soft
    unpack: Struct

    @classmethod
    def of(cls, reservation: Reservation, epoch: str, incarnation: str, time: bytes) -> "Prepared":
        prefix = key_prefix(reservation.tenant, epoch)
        keys = (mark_key(prefix), calls_key(prefix, incarnation), *counter_keys(prefix, reservation))
        counters = pack_counters(reservation)
        heads = []
        for operation, figures in ((b"R", 1), (b"S", 3)):
            whole = script_call(keys, (operation, bytes(16), counters, time, *[b""] * figures))
            same = len(bulk(bytes(16)) + bulk(counters) + bulk(time)) + figures * len(bulk(b""))
            heads.append(whole[:-same] + b"$16\r\n")
        limits = tuple(
            (request.counter.limit, request.counter.limit.mode == "soft") for request in reservation.requests
        )
        words = Struct(f"<{REPLY_HEAD + REPLY_STATE * len(limits)}q")
        amounts = Struct(f"<{len(limits)}q")
        middle = b"\r\n" + bulk(counters) + bulk(time)
        end_middle = middle + b"$%d\r\n" % amounts.size
        return cls(
            reservation, prefix, keys, counters, heads[0], middle, heads[1], end_middle, amounts, limits, words
        )  # fmt: skip

    def reserve(self, call_id: bytes, not_after: bytes) -> bytes:
        """The command that reserves for a call, unless it is later than ``not_after``."""
        return b"%b%b%b$%d\r\n%b\r\n" % (self.head, call_id, self.middle, len(not_after), not_after)

    def end(self, call_id: bytes, actual: Sequence[int], at_us: int) -> bytes:
        """The command that replaces what a call of this epoch holds by what it cost."""
        at, packed = b"%d" % at_us, self.amounts.pack(*actual)
        return b"%b%b%b%b\r\n$0\r\n\r\n$%d\r\n%b\r\n" % (
            self.end_head, call_id, self.end_middle, packed, len(at), at
        )  # fmt: skip

    def decision(self, reply: bytes) -> tuple[Decision, list[int]]:
        """The decision in a reply, and which counters it made that lack the ledger's sum."""
        words = self.unpack.unpack(reply)
        admitted, at_us = bool(words[0]), words[1]
        states, new, flags, place = [], [], 0, REPLY_HEAD
        for number, (limit, soft) in enumerate(self.limits):
            left, reset_us, violated, retry_us, window_us, made = words[place : place + REPLY_STATE]
            place += REPLY_STATE
            if violated:
                if soft and admitted:
                    flags = int(DecisionFlag.OVERAGE)
                end_us = reset_us if admitted else effective_end(reset_us, retry_us)
                states.append(LimitState(limit, left if left > 0 else 0, end_us, True, retry_us, window_us))
            else:
                states.append(LimitState(limit, left if left > 0 else 0, reset_us, False, 0, window_us))
            if made:
                new.append(number)
        return Decision(admitted, at_us, tuple(states), flags), new

    def looked(self, reply: bytes) -> tuple[LimitState, ...]:
        """The states in the reply to a look."""
        words = self.unpack.unpack(reply)
        found = []
        for number, (limit, _) in enumerate(self.limits):
            left, reset_us, _, _, window_us, _ = words[REPLY_HEAD + number * REPLY_STATE :][:REPLY_STATE]
            found.append(LimitState(limit, max(0, left), reset_us, window_us=window_us, over=max(0, -left)))
        return tuple(found)


def refused_by(reply: bytes) -> StoreUnavailable | None:
    """Why the script did not decide, if it did not."""
    if reply == b"unseeded":
        return StoreUnavailable("the counters of this tenant are not rebuilt yet", "unseeded")
    if reply == b"late":
        return StoreUnavailable("the counters in Redis answered too late", "late")
    return None


def epoch_of(server_info: bytes) -> str:
    """The epoch that a server's data is of: its run id, since a restart or a failover may have lost some of it."""
    for line in server_info.splitlines():
        if line.startswith(b"run_id:"):
            return line[7:].strip().decode()[:EPOCH_DIGITS]
    raise StoreUnavailable("Redis does not tell its run id", "unavailable")
