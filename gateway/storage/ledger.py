"""The ledger: posting and all reads of it behind one name."""

from typing import TYPE_CHECKING

from gateway.storage.calls import CallReads
from gateway.storage.engine import Database
from gateway.storage.erasing import Erasing
from gateway.storage.ports import UsageLedger
from gateway.storage.posting import Posting
from gateway.storage.pruning import Pruning
from gateway.storage.quota_reads import QuotaReads
from gateway.storage.reconciling import ReconcileReads
from gateway.storage.usage import UsageReads


class Ledger(Posting, UsageReads, CallReads, QuotaReads, ReconcileReads, Pruning, Erasing):
    """All records, append-only, and what can be asked about them."""

    def __init__(self, database: Database) -> None:
        self._database = database
        Posting.__init__(self, database)


if TYPE_CHECKING:
    _: type[UsageLedger] = Ledger
