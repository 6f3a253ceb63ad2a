"""Refusals are no records: they are counted per minute and shipped through the spool as sums (SEMANTICS §6)."""

import logging

from gateway.clock import MINUTE_US, Clock
from gateway.metering.ports import UsageSpool
from gateway.metering.record import RefusalCount

_MOST = 10_000  # different refusals kept at a time; the rest are summed without tenant and key


class RefusalCounter:
    """Counts in memory; ``flush`` appends the minutes that are over; what the spool does not take waits."""

    def __init__(self, spool: UsageSpool, clock: Clock, logger: logging.Logger) -> None:
        self._spool = spool
        self._clock = clock
        self._logger = logger
        self._counts: dict[tuple[int, str, str, str, str, int], int] = {}
        self._failing = False

    def count(self, tenant: str, key: str, route: str, code: str, status: int) -> None:
        """One refusal, now."""
        minute_us = self._minute()
        entry = (minute_us, tenant, key, route, code, status)
        if entry not in self._counts and len(self._counts) >= _MOST:
            entry = (minute_us, "", "", route, code, status)
        self._counts[entry] = self._counts.get(entry, 0) + 1

    def flush(self, *, everything: bool = False) -> None:
        """Append the sums of the minutes that are over, or all of them (at drain)."""
        present_us = self._minute()
        for entry in [entry for entry in self._counts if everything or entry[0] != present_us]:
            minute_us, tenant, key, route, code, status = entry
            count = self._counts[entry]
            try:
                self._spool.append(
                    RefusalCount(
                        minute_us=minute_us, tenant=tenant, key=key, route=route, code=code, status=status, count=count
                    )
                )
            except OSError as error:
                self._fail(error, at_the_end=everything)
                return
            del self._counts[entry]
            self._failing = False

    def _minute(self) -> int:
        return self._clock.now() // MINUTE_US * MINUTE_US

    def _fail(self, error: OSError, *, at_the_end: bool) -> None:
        """Say it once a failure lasts, and at the end, when nobody tries again."""
        if at_the_end or not self._failing:
            text = "refusals not recorded" if at_the_end else "refusals wait for the spool to take them"
            self._logger.error(text, extra={"error": str(error), "refusals": sum(self._counts.values())})
        self._failing = True
