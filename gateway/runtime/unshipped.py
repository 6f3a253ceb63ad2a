"""What workers appended and the ledger does not have yet: reads that must not wait for the shipper add it."""

from collections.abc import Iterator, Mapping

import msgspec

from gateway.metering.ports import Frame, Position
from gateway.metering.record import CallRecord, decode
from gateway.spool.reader import SpoolReader

_AT_ONCE = 5_000


def unshipped_frames(spool: SpoolReader, cursors: Mapping[str, int]) -> Iterator[Frame]:
    """The frames behind the ledger's cursors, of every incarnation.

    A record is in the ledger or here when the cursors were read before; it may be in both by the time the ledger is
    asked.
    """
    for incarnation in spool.incarnations():
        sequence = cursors.get(incarnation, 0)
        while frames := spool.read(Position(incarnation, sequence), _AT_ONCE):
            yield from frames
            sequence = frames[-1].position.sequence


def unshipped_calls(spool: SpoolReader, cursors: Mapping[str, int]) -> Iterator[CallRecord]:
    """The call records among them; what cannot be read will go to quarantine when it is shipped."""
    for frame in unshipped_frames(spool, cursors):
        try:
            entry = decode(frame.payload)
        except msgspec.DecodeError:
            continue
        if isinstance(entry, CallRecord):
            yield entry
