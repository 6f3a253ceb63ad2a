"""A host that holds the ledger's watermark back is named; one that is only a little late is not."""

from gateway.clock import MINUTE_US
from gateway.runtime.reconciliation import silent_hosts
from gateway.storage.values import HostMark

NOW = 10**15


def test_silent_hosts() -> None:
    here = HostMark("here", NOW, NOW)
    late = HostMark("late", NOW - MINUTE_US, NOW - MINUTE_US)
    silent = HostMark("silent", NOW - MINUTE_US, NOW - MINUTE_US - 1)
    assert silent_hosts([here, late, silent]) == (silent,)
    assert silent_hosts([silent]) == ()  # all that there is: nobody else reported since
    assert silent_hosts([]) == ()
