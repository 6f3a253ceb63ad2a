"""The API's own rate limit: so many requests for each credential, or each address without one. Bounded memory."""

from collections import OrderedDict

from gateway.api.problems import ApiError
from gateway.clock import SECOND_US

BURST = 400
PER_SECOND = 50
MAX_ENTRIES = 20_000


class Admission:
    """A leaky bucket each (GCRA): ``BURST`` at once, ``PER_SECOND`` in the long run."""

    def __init__(self, burst: int = BURST, per_second: int = PER_SECOND) -> None:
        self._step_us = SECOND_US // per_second
        self._room_us = burst * self._step_us
        self._empty_at: OrderedDict[str, int] = OrderedDict()

    def check(self, who: str, now_us: int) -> None:
        """Raise ``ApiError`` when there is no room, and take nothing."""
        over_us = self._empty_at.get(who, 0) + self._step_us - now_us - self._room_us
        if over_us > 0:
            raise ApiError("rate_limited", headers={"Retry-After": str(-(-over_us // SECOND_US))})

    def take(self, who: str, now_us: int) -> tuple[int, int]:
        """How many requests are left, and the seconds until the bucket is empty; raises ``ApiError``."""
        empty_at = max(self._empty_at.get(who, 0), now_us) + self._step_us
        over_us = empty_at - now_us - self._room_us
        self.check(who, now_us)
        self._empty_at[who] = empty_at
        self._empty_at.move_to_end(who)
        if len(self._empty_at) > MAX_ENTRIES:
            self._empty_at.popitem(last=False)
        return -over_us // self._step_us, -(-(empty_at - now_us) // SECOND_US)
