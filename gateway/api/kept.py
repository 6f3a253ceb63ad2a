"""Idempotency-Key: a repeated request is answered with what the first one was, status and body, and not done again.

The answer is written in the transaction of what it tells: after a crash there are both or neither. It is kept a day.
It may hold a key that is shown once, so it is sealed (AES-256-GCM) with a key that is not in the database. Refusals of
authentication and rate, and our own failures, are not kept.
"""

import hashlib
import hmac
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.api.operation import Call, Operation
from gateway.api.problems import ApiError
from gateway.clock import DAY_US
from gateway.storage.account_values import KeptAnswer
from gateway.storage.ports import PLATFORM

HEADER = "Idempotency-Key"
KEPT_US = DAY_US
MAX_KEY = 255
_WELL_FORMED = re.compile(rf"[!-~]{{1,{MAX_KEY}}}")
_NONCE = 12
_NOT_KEPT = (401, 403, 408, 429)


@dataclass(frozen=True, slots=True)
class Finished:
    """An answer as it went out."""

    status: int
    headers: dict[str, str]
    body: bytes


class Keeper:
    """Keeps answers and replays them."""

    def __init__(self, secret: bytes) -> None:
        self._sealing = AESGCM(hmac.new(secret, b"gateway api kept answers", hashlib.sha256).digest())
        self._forgot_us = 0
        self._running: set[tuple[str, str]] = set()

    async def tidy(self, call: Call) -> None:
        """Now and then, drop what is older than a day."""
        if call.now_us - self._forgot_us > DAY_US // 24:
            self._forgot_us = call.now_us
            await call.services.store.answers.forget(PLATFORM, call.now_us - KEPT_US)

    async def find(self, operation: Operation, call: Call, key: str) -> Finished | None:
        """What the first request was answered; raises ``ApiError`` when this is another one."""
        owner = _owner(call)
        kept = await call.services.store.answers.find(PLATFORM, owner, key)
        if kept is None:
            return None
        if not hmac.compare_digest(kept.request, _fingerprint(operation, call)):
            raise ApiError("idempotency_mismatch")
        found = self._open(kept.answer, owner, key)
        return Finished(found.status, found.headers | {"Idempotent-Replayed": "true"}, found.body)

    async def keep(self, operation: Operation, call: Call, key: str, answer: Finished) -> None:
        """Keep an answer, unless a repeat should be tried anew."""
        if answer.status >= 500 or answer.status in _NOT_KEPT:
            return
        owner = _owner(call)
        sealed = self._seal(answer, owner, key)
        kept = KeptAnswer(_fingerprint(operation, call), answer.status, sealed, call.now_us)
        await call.services.store.answers.keep(PLATFORM, owner, key, kept)

    @contextmanager
    def alone(self, call: Call, key: str) -> Iterator[None]:
        """A second request with the key is told to wait while the first is under way in this process. Of several
        processes, the store lets one at a time go on."""
        if not _WELL_FORMED.fullmatch(key):
            raise ApiError("malformed", f"{HEADER} is 1 to {MAX_KEY} printable ASCII characters without spaces.")
        mine = (_owner(call), key)
        if mine in self._running:
            raise ApiError("idempotency_in_progress", headers={"Retry-After": "1"})
        self._running.add(mine)
        try:
            yield
        finally:
            self._running.discard(mine)

    def _seal(self, answer: Finished, owner: str, key: str) -> bytes:
        nonce = os.urandom(_NONCE)
        plain = json.dumps([answer.status, answer.headers, answer.body.decode()]).encode()
        return nonce + self._sealing.encrypt(nonce, plain, f"{owner}\n{key}".encode())

    def _open(self, sealed: bytes, owner: str, key: str) -> Finished:
        try:
            plain = self._sealing.decrypt(sealed[:_NONCE], sealed[_NONCE:], f"{owner}\n{key}".encode())
        except InvalidTag:  # the secret was changed since
            raise ApiError("conflict", "The answer of the first request can't be read any more.") from None
        status, headers, body = json.loads(plain)
        return Finished(status, headers, body.encode())


def _owner(call: Call) -> str:
    return f"{call.user.id} {call.scope.tenant or ''}"


def _fingerprint(operation: Operation, call: Call) -> bytes:
    parts = [operation.name, call.request.path_qs]
    return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogateescape") + b"\n" + call.raw).digest()
