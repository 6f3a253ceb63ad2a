"""How many hosts shared the counters in the last minute, as the shipper published it (SEMANTICS §22)."""

import time
from pathlib import Path

from gateway.proxy.outage import Shares
from gateway.runtime.publish import read_json

_FRESH_S = 1.0


class HostsSeen:
    """Read when asked, once a second at most: it matters only while the counter store is away."""

    def __init__(self, published: Path, workers: int) -> None:
        self._published = published
        self._workers = workers
        self._read_at = float("-inf")
        self._shares = Shares(1, workers)

    def shares(self) -> Shares:
        """Among how many the maximum of a limit is divided now."""
        if time.monotonic() - self._read_at >= _FRESH_S:
            self._read_at = time.monotonic()
            hosts = read_json(self._published).get("hosts")
            if isinstance(hosts, int) and hosts > 0:
                self._shares = Shares(hosts, self._workers)
        return self._shares
