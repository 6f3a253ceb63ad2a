"""From the resolved configuration to what accounts, mail and events are told by it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast

Registration = Literal["open", "invite", "closed"]
Aggregate = Literal["sum", "count", "max", "latest", "unique"]


@dataclass(frozen=True, slots=True)
class AccountSettings:
    """The ``accounts`` block. ``verify_email`` is decided: ``auto`` means on when mail is really sent."""

    registration: Registration
    default_plan: str
    verify_email: bool


@dataclass(frozen=True, slots=True)
class MailSettings:
    """The ``mail`` block; ``url`` None: messages stay files in ``data/mail``."""

    url: str | None
    sender: str


@dataclass(frozen=True, slots=True)
class EventRule:
    """How events of one type count: ``value`` is the dotted path of the figure (or of the text to tell apart)."""

    type: str
    meter: str
    aggregate: Aggregate
    value: str


def account_settings(source: Mapping[str, object]) -> AccountSettings:
    """The settings of a validated configuration (``Snapshot.source``)."""
    block = _map(source, "accounts")
    verify = block.get("verify_email", "auto")
    return AccountSettings(
        cast(Registration, block.get("registration", "closed")),
        str(block.get("default_plan", "free")),
        mail_settings(source).url is not None if verify == "auto" else verify == "on",
    )


def mail_settings(source: Mapping[str, object]) -> MailSettings:
    """Where mail goes, and whom it is from."""
    block = _map(source, "mail")
    url, sender = block.get("url"), block.get("from")
    return MailSettings(str(url) if url else None, str(sender) if sender else "gateway@localhost")


def event_rules(source: Mapping[str, object]) -> dict[str, EventRule]:
    """The rule of each type of event."""
    found = {}
    for name, block in _map(source, "events").items():
        if isinstance(block, Mapping):
            aggregate = cast(Aggregate, block.get("aggregate", "sum"))
            found[name] = EventRule(name, str(block["meter"]), aggregate, str(block.get("value") or ""))
    return found


def event_aggregates(source: Mapping[str, object]) -> dict[str, Aggregate]:
    """How each meter that events feed is made of them."""
    return {rule.meter: rule.aggregate for rule in event_rules(source).values()}


def _map(source: Mapping[str, object], name: str) -> Mapping[str, object]:
    value = source.get(name)
    return value if isinstance(value, Mapping) else {}
