"""Forms that are sent twice act once, and what was made is shown once: on the page that the form leads to.

Both are kept in this process's memory for minutes: a secret is in no address, no cookie and no store, and a reload
neither makes a second key nor shows the first again.
"""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from gateway.clock import MINUTE_US, Clock

KEPT_US = 10 * MINUTE_US
MAX_KEPT = 10_000


@dataclass(slots=True)
class _Sending:
    """One form: who comes while it is under way waits, and goes where it led."""

    until_us: int
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    location: str = ""


class Once:
    """What forms led to, and secrets that wait for their page."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._sent: OrderedDict[bytes, _Sending] = OrderedDict()
        self._secrets: OrderedDict[tuple[str, str], tuple[int, object]] = OrderedDict()

    async def act(self, form: bytes, do: Callable[[], Awaitable[str]]) -> str:
        """Run ``do`` unless the same form led somewhere already; returns where (empty: it led nowhere, do it again)."""
        now_us = self._clock.now()
        while self._sent and (len(self._sent) >= MAX_KEPT or next(iter(self._sent.values())).until_us <= now_us):
            self._sent.popitem(last=False)
        sending = self._sent.setdefault(form, _Sending(now_us + KEPT_US))
        async with sending.lock:
            if not sending.location:
                sending.location = await do()
            return sending.location

    def keep(self, session: str, path: str, secret: object) -> None:
        """Hold a secret for the next look of this session at ``path``."""
        now_us = self._clock.now()
        while self._secrets and (len(self._secrets) >= MAX_KEPT or next(iter(self._secrets.values()))[0] <= now_us):
            self._secrets.popitem(last=False)
        self._secrets[session, path] = (now_us + KEPT_US, secret)

    def take(self, session: str, path: str) -> object | None:
        """The secret, once."""
        until_us, secret = self._secrets.pop((session, path), (0, None))
        return secret if until_us > self._clock.now() else None


def form_id(session: str, path: str, form: Mapping[str, object]) -> bytes:
    """What makes a form the same form: session, address, and all that it holds, with the number that its page gave it.

    Who goes back and writes something else sends another form.
    """
    digest = hashlib.sha256()
    for text in (session, path, *(f"{name}={value}" for name, value in sorted(form.items(), key=lambda one: one[0]))):
        digest.update(text.encode("utf-8", "replace") + b"\0")
    return digest.digest()
