"""Idempotency-Key: a repeated request is answered with what the first one was, status and body, and not done again.

Answers are kept a day. They may hold a key that is shown once, so they are sealed (AES-256-GCM) with a key that is
not in the database. Refusals of authentication and rate, and our own failures, are not kept.
"""

import hashlib
import hmac
import json
import os
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.api.operation import Call, Operation
from gateway.api.problems import ApiError
from gateway.clock import DAY_US, MINUTE_US
from gateway.storage.ports import PLATFORM

HEADER = "Idempotency-Key"
STALE_US = MINUTE_US
KEPT_US = DAY_US
MAX_KEY = 255
_NONCE = 12
_NOT_KEPT = (401, 403, 408, 429)


@dataclass(frozen=True, slots=True)
class Finished:
    """An answer as it went out."""

    status: int
    headers: dict[str, str]
    body: bytes


class Keeper:
    """Claims keys, keeps answers and replays them."""

    def __init__(self, secret: bytes) -> None:
        self._sealing = AESGCM(hmac.new(secret, b"gateway api kept answers", hashlib.sha256).digest())
        self._forgot_us = 0

    async def begin(self, operation: Operation, call: Call, key: str) -> Finished | None:
        """None: go on, the key is claimed. Else the first request's answer; raises ``ApiError``."""
        if not (1 <= len(key) <= MAX_KEY and key.isascii() and key.isprintable()):
            raise ApiError("malformed", f"{HEADER} is 1 to {MAX_KEY} printable characters.")
        store, now = call.services.store, call.now_us
        if now - self._forgot_us > DAY_US // 24:
            self._forgot_us = now
            await store.answers.forget(PLATFORM, now - KEPT_US)
        owner, request = _owner(call), _fingerprint(operation, call)
        kept = await store.answers.begin(PLATFORM, owner, key, request, now, STALE_US)
        if kept is None:
            return None
        if not hmac.compare_digest(kept.request, request):
            raise ApiError("idempotency_mismatch")
        if kept.status == 0:
            raise ApiError("idempotency_in_progress", headers={"Retry-After": "1"})
        return self._open(kept.answer, owner, key)

    async def finish(self, call: Call, key: str, answer: Finished) -> None:
        """Keep an answer, or give the key back when a repeat should be tried anew."""
        owner, answers = _owner(call), call.services.store.answers
        if answer.status >= 500 or answer.status in _NOT_KEPT:
            await answers.release(PLATFORM, owner, key)
        else:
            await answers.finish(PLATFORM, owner, key, answer.status, self._seal(answer, owner, key))

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
