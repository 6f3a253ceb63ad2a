"""Of which time a host's counters are, told by the ledger's mark of this host: so that a restored backup is noticed."""

import contextlib
from pathlib import Path

from gateway.clock import SECOND_US
from gateway.runtime.publish import read_json, write_json

APART_US = 10 * SECOND_US
"""The stamp follows the mark within a second, or what a power loss takes back."""
_FIELD = "complete_until_us"


class LedgerStamp:
    """A small file beside the counters, so that it is saved and restored with them. 0 where there is none yet."""

    def __init__(self, path: Path) -> None:
        self._path = path
        known = read_json(path).get(_FIELD)
        self.known_us = known if isinstance(known, int) else 0

    def is_of(self, ledger_us: int) -> bool:
        """Whether counters and ledger are of one time; without a stamp nobody can tell."""
        return not self.known_us or abs(self.known_us - ledger_us) <= APART_US

    def write(self, ledger_us: int) -> None:
        """Note the mark that the ledger has taken."""
        if ledger_us > self.known_us and self._path.parent.is_dir():
            with contextlib.suppress(OSError):  # a full disk; at worst a start makes the counters anew
                write_json(self._path, {_FIELD: ledger_us})
                self.known_us = ledger_us
