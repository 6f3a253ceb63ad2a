"""Refusals are no records: they are counted per minute and shipped through the spool as sums (SEMANTICS §6)."""

import logging

from gateway.clock import MINUTE_US, Clock
from gateway.metering.ports import UsageSpool
from gateway.metering.record import RefusalCount

_MOST = 10_000  # different refusals kept in one minute; the rest are summed without tenant and key


class RefusalCounter:
    """Counts in memory; ``flush`` appends the minutes that are over."""

    def __init__(self, spool: UsageSpool, clock: Clock, logger: logging.Logger) -> None:
        self._spool = spool
        self._clock = clock
        self._logger = logger
        self._minute_us = 0
        self._counts: dict[tuple[str, str, str, str, int], int] = {}

    def count(self, tenant: str, key: str, route: str, code: str, status: int) -> None:
        """One refusal, now."""
        minute_us = self._clock.now() // MINUTE_US * MINUTE_US
        if minute_us != self._minute_us:
            self.flush(everything=True)
            self._minute_us = minute_us
        entry = (tenant, key, route, code, status)
        if entry not in self._counts and len(self._counts) >= _MOST:
            entry = ("", "", route, code, status)
        self._counts[entry] = self._counts.get(entry, 0) + 1

    def flush(self, *, everything: bool = False) -> None:
        """Append the sums of a minute that is over, or all of them (at drain)."""
        if not everything and self._clock.now() < self._minute_us + MINUTE_US:
            return
        counts, self._counts = self._counts, {}
        for index, ((tenant, key, route, code, status), count) in enumerate(counts.items()):
            entry = RefusalCount(
                minute_us=self._minute_us, tenant=tenant, key=key, route=route, code=code, status=status, count=count
            )
            try:
                self._spool.append(entry)
            except OSError as error:
                self._logger.error("refusals not recorded", extra={"error": str(error), "lost": len(counts) - index})
                return
