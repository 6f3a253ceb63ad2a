"""The record of a call that the gateway's death interrupted."""

import msgspec

from gateway.metering.record import CallRecord, Flag
from gateway.spool.dead_table import DeadSlot


def interrupted(slot: DeadSlot) -> CallRecord:
    """What the call leaves: the units of its last checkpoint, else the estimate; not billable, so not counted either
    (SEMANTICS §3, 6). Parts that were recorded before stay billed: a crash bills up to the last checkpoint (§5).

    Where a power loss damaged the slot, the record says no more than that there was such a call.
    """
    record = slot.record or CallRecord(id=slot.call_id, at_us=slot.at_us, route="", method="", path="")
    return msgspec.structs.replace(
        record,
        part=0,
        at_us=record.at_us if slot.checkpointed else slot.at_us or record.at_us,
        outcome="interrupted",
        counted=False,
        billable=False,
        not_billable="interrupted",
        quota_units={},
        flags=record.flags | Flag.RECOVERED,
    )
