"""From spool frames to rows: decoding, checking and adding up one batch, before any database is touched."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from gateway.errors import GatewayError
from gateway.metering.ports import Frame
from gateway.metering.record import CallRecord, RefusalCount, SpoolEntry, decode
from gateway.metering.rollup import Rollup

logger = logging.getLogger(__name__)

MAX_FIGURE = 10**15
"""No size, time span or amount of one record is larger: sums of records stay within 63 bits."""

_COMMON_BITS = MAX_FIGURE.bit_length() - 1
"""Figures of no more bits are in range; larger ones are looked at one by one."""

MAX_TIME_US = 253_402_300_800_000_000
"""The end of the year 9999."""

MAX_TEXT = 16_384
_LOGGED_POISON = 20
_units_encode = msgspec.json.Encoder(order="sorted").encode

CallValues = tuple[object, ...]
"""A row of ``calls`` in column order."""

RefusalKey = tuple[str, int, str, str, str, int]


@dataclass(frozen=True, slots=True)
class Poison:
    """A frame that cannot become a row, and why."""

    frame: Frame
    reason: str


@dataclass(slots=True)
class Batch:
    """What one batch adds to the ledger. ``rows`` lack their posting sequence and source, which the store gives."""

    rows: list[CallValues] = field(default_factory=list)
    rollup: Rollup = field(default_factory=Rollup)
    refusals: dict[RefusalKey, int] = field(default_factory=dict)
    refusal_frames: int = 0
    last_used: dict[tuple[str, str], int] = field(default_factory=dict)
    poison: list[Poison] = field(default_factory=list)


def check_sequence(incarnation: str, frames: Sequence[Frame]) -> None:
    """Frames of a batch are of one incarnation and follow one another without a gap; else the caller is at fault."""
    first = frames[0].position.sequence
    for place, frame in enumerate(frames):
        if frame.position.sequence != first + place or frame.position.incarnation != incarnation:
            raise GatewayError(f"spool frames out of order at {frame.position}")


def build(frames: Sequence[Frame], source: int, posting: int, skip: dict[int, str] | None = None) -> Batch:
    """Decode and add up. Rows get ``posting + 1, posting + 2 …``; ``skip`` maps a sequence to why it must stay out."""
    batch = Batch()
    rows, used, add = batch.rows, batch.last_used, batch.rollup.add
    for frame in frames:
        try:
            entry = decode(frame.payload)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            reason = f"undecodable: {error}" if frame.payload else "missing in the spool"
            batch.poison.append(Poison(frame, reason))
            continue
        reason = fault_of(entry)
        if not reason and skip:
            reason = skip.get(frame.position.sequence, "")
        if reason:
            batch.poison.append(Poison(frame, reason))
        elif isinstance(entry, CallRecord):
            posting += 1
            rows.append((posting, source, frame.position.sequence, *_values(entry)))
            add(entry)
            if entry.key:
                who, at_us = (entry.tenant, entry.key), entry.part_at_us or entry.at_us
                if used.get(who, 0) < at_us:
                    used[who] = at_us
        else:
            _add_refusal(batch, entry)
    return batch


def _add_refusal(batch: Batch, entry: RefusalCount) -> None:
    key = (entry.tenant, entry.minute_us, entry.key, entry.route, entry.code, entry.status)
    batch.refusals[key] = batch.refusals.get(key, 0) + entry.count
    batch.refusal_frames += 1


def _values(record: CallRecord) -> CallValues:
    units, quota = record.units, record.quota_units
    return (
        record.id,
        record.part,
        record.part_at_us or record.at_us,
        record.tenant,
        record.key,
        record.route,
        record.upstream,
        record.target,
        record.method,
        record.path,
        record.status,
        record.upstream_status,
        record.outcome,
        record.request_bytes,
        record.response_bytes,
        _units_encode(units).decode(),
        None if quota == units else _units_encode(quota).decode(),
        record.counted,
        record.billable,
        record.not_billable,
        record.ttfb_us,
        record.duration_us,
        record.attempts,
        record.address,
        record.address_hash,
        record.request_id,
        record.plan,
        record.flags,
        record.at_us if record.part_at_us else None,
    )


def fault_of(entry: SpoolEntry) -> str:
    """Why an entry cannot be posted; empty when it can. Types are checked by decoding; this checks the figures."""
    if isinstance(entry, RefusalCount):
        return _refusal_fault(entry)
    if len(entry.id) != 16:
        return "id is not 16 bytes"
    if not (0 <= entry.at_us < MAX_TIME_US and 0 <= entry.part_at_us < MAX_TIME_US):
        return "time out of range"
    if not (0 <= entry.status < 1000 and 0 <= entry.upstream_status < 1000):
        return "status out of range"
    if (entry.part | entry.attempts | entry.flags) >> 31:  # one shift for all: negative figures leave something too
        return "part, attempts or flags out of range"
    figures = entry.request_bytes | entry.response_bytes | entry.ttfb_us | entry.duration_us
    for amount in entry.units.values():
        figures |= amount
    for amount in entry.quota_units.values():
        figures |= amount
    if figures >> _COMMON_BITS and not _is_in_range(entry):
        return "figure out of range"
    return _text_fault(entry.tenant, entry.key, entry.route, entry.path, entry.target, entry.request_id, entry.address)


def _is_in_range(entry: CallRecord) -> bool:
    sizes = (entry.request_bytes, entry.response_bytes, entry.ttfb_us, entry.duration_us)
    figures = (*sizes, *entry.units.values(), *entry.quota_units.values())
    return min(figures) >= 0 and max(figures) <= MAX_FIGURE


def _refusal_fault(entry: RefusalCount) -> str:
    if not (0 <= entry.minute_us < MAX_TIME_US and 0 <= entry.count <= MAX_FIGURE and 0 <= entry.status < 1000):
        return "figure out of range"
    return _text_fault(entry.tenant, entry.key, entry.route, entry.code)


def _text_fault(*texts: str) -> str:
    text = "\n".join(texts)
    # PostgreSQL's text cannot hold NUL; paths are bounded by the request head's limit.
    return "text with NUL or too long" if "\0" in text or len(text) > MAX_TEXT * 4 else ""


def report(poison: Sequence[Poison]) -> None:
    """Log what goes to quarantine."""
    for bad in poison[:_LOGGED_POISON]:
        facts = {"position": str(bad.frame.position), "reason": bad.reason}
        logger.error("record set aside in quarantine", extra=facts)
    if len(poison) > _LOGGED_POISON:
        logger.error("more records set aside in quarantine", extra={"count": len(poison) - _LOGGED_POISON})
