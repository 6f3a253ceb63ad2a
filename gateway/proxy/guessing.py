"""Guessing keys is slow: an address that sent many unknown keys waits, counted by host, before any tenant is known
(SEMANTICS §18). A key that was served here before passes, so that a guesser behind a shared address shuts nobody out.
"""

from collections.abc import Callable

from gateway.clock import MINUTE_US, SECOND_US
from gateway.errors import StoreUnavailable
from gateway.hooks.events import Refusal
from gateway.proxy.outage import LocalStore
from gateway.quotas.answer import retry_after
from gateway.quotas.binding import bind
from gateway.quotas.limit import Algorithm, DurationWindow, Limit
from gateway.tenants.model import Tenant

GUESSES = Limit("guesses", "guesses", 30, DurationWindow(MINUTE_US), Algorithm.BUCKET, ("address",), burst=60)
"""Sixty unknown keys at once, then one every two seconds."""
_NOBODY = Tenant(".", "", "")
_MOST = 10_000  # addresses remembered as waiting


class Guessing:
    """One worker's view of its host's count. ``waiting`` is empty as long as nobody guesses: one look a call."""

    def __init__(self, open_store: Callable[[], LocalStore], secret: bytes, now: Callable[[], int]) -> None:
        self.waiting: dict[str, int] = {}
        self._open = open_store
        self._store: LocalStore | None = None
        self._binding = bind([GUESSES], {}, _NOBODY, "", "", secret)
        self._now = now

    def failed(self, call_id: bytes, address: str) -> Refusal | None:
        """Count an unknown key; the refusal that takes the place of the 401 when the address has to wait."""
        reservation = self._binding.reservation(self._now(), {"guesses": 1}, address)
        try:
            if self._store is None:
                self._store = self._open()
            decision = self._store.reserve_now(call_id, reservation)
        except StoreUnavailable:
            return None
        if decision.admitted:
            return None
        seconds = retry_after(decision) or 1
        if len(self.waiting) >= _MOST:
            self.waiting.clear()
        self.waiting[address] = self._now() + seconds * SECOND_US
        return too_many(seconds)

    def refuses(self, address: str) -> Refusal | None:
        """The refusal of a key that nobody used here before, while its address has to wait."""
        until_us = self.waiting.get(address, 0)
        left_us = until_us - self._now()
        if left_us > 0:
            return too_many(-(-left_us // SECOND_US))
        self.waiting.pop(address, None)
        return None


def too_many(seconds: int) -> Refusal:
    """429 to an address, whether or not this key is one."""
    headers = ((b"Retry-After", b"%d" % seconds),)
    return Refusal(429, "too_many_attempts", "Too many unknown API keys came from this address.", headers)
