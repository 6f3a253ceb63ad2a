"""Calls of a dead worker whose in-flight table is damaged or gone: the counters are made anew without what they held.

The counters' journal tells of them: a worker has its table before it counts, and its journal is forgotten before its
table goes (SEMANTICS §3, 19, 20). With Redis a lease tells, and a sweep releases them.
"""

import asyncio
import logging
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from gateway.counters import upkeep
from gateway.counters.journal import journal_name
from gateway.counters.mmap_store import MmapCounterStore
from gateway.runtime import paths
from gateway.runtime.reconciliation import Reconciliation
from gateway.spool.files import directory_lock
from gateway.spool.folder import list_incarnations
from gateway.spool.open_calls import held_now
from gateway.spool.tables import list_tables

logger = logging.getLogger(__name__)

LOST = "the in-flight table of a worker that died is damaged or gone: the calls that it was in the middle of are lost"
ANEW = "no worker lives: counters are made anew from the ledger"
MENDED = "counters were set to the ledger's sums while workers count; sliding windows run out by themselves"
LOOKS_APART_S = 0.5


class LostCalls:
    """One per host with counters in a mapped file, in the shipper."""

    def __init__(self, counters: MmapCounterStore, data: Path) -> None:
        self._counters = counters
        self._inflight = paths.inflight(data)
        self._spool = paths.spool(data)
        self._told: set[bytes] = set()
        self._mended: set[bytes] = set()

    def find(self) -> set[bytes]:
        """The journals of the dead that have no table; said in the log once. Tables are recovered first."""
        before = upkeep.journals(self._counters)
        without = before - set(map(journal_name, list_tables(self._inflight)))
        # One that ended meanwhile was forgotten before its table went.
        lost = without & upkeep.journals(self._counters) - self._alive(without) if without else set()
        for name in lost - self._told:
            names = {journal_name(one): one for one in list_incarnations(self._spool)}
            logger.error(LOST, extra={"incarnation": names.get(name, f"journal {name.hex()}")})
        self._told |= lost
        return lost

    def _alive(self, names: set[bytes]) -> set[bytes]:
        """Those whose spool has a writer: their table was deleted under them."""
        found: set[bytes] = set()
        for incarnation in list_incarnations(self._spool):
            if (name := journal_name(incarnation)) in names:
                with directory_lock(self._spool / incarnation) as dead:
                    found |= set() if dead else {name}
        return found

    def start_anew(self) -> set[bytes]:
        """Empty the counters if calls are lost and nobody counts: everything is to be rebuilt. Whose they were."""
        lost = self.find()
        if not lost or list_tables(self._inflight) or not self._counters.start_anew():
            return set()
        logger.error(ANEW)
        return lost

    def forget(self, lost: Iterable[bytes]) -> None:
        """They hold nothing any more: the counters are rebuilt."""
        upkeep.forget(self._counters, lost)

    async def mend(self, comparing: Reconciliation) -> None:
        """Beside workers that count: what two looks agree on is given back, concurrency is what tables hold.

        No limit admits too much meanwhile. The next start makes all anew. Raises ``StoreUnavailable``.
        """
        lost = self.find()
        if lost <= self._mended:
            return
        held = upkeep.recount(self._counters, partial(held_now, self._inflight))
        first = await comparing.excess()
        await asyncio.sleep(LOOKS_APART_S)
        if await comparing.excess() != first:
            return  # busy: another time
        mended = comparing.repair()
        self._mended |= lost
        logger.error(MENDED, extra={"counters": mended, "concurrency": held})
