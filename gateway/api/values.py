"""The types that requests and answers are made of: times, money, ids, lists (CONTRACT, HTTP control plane)."""

import ipaddress
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Generic, Literal, TypeVar
from zoneinfo import available_timezones

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from gateway.accounts.people import normal_email
from gateway.accounts.refused import AccountError
from gateway.money import exponent
from gateway.period import Period, from_us, to_us
from gateway.tenants.names import ODD, is_plain

Row = TypeVar("Row")

MAX_LIMIT = 200
_TIME = re.compile(
    r"(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})[Tt](?P<time>[0-9]{2}:[0-9]{2}:[0-9]{2})(?P<part>\.[0-9]{1,9})?"
    r"(?P<zone>[Zz]|[+-][0-9]{2}:[0-9]{2})",
    re.ASCII,
)


class Model(BaseModel):
    """Base of all bodies: unknown fields are errors, nothing is converted silently."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Query(BaseModel):
    """Base of all sets of query parameters: the same, read from text."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def parse_time(text: object) -> object:
    """Microseconds of an RFC 3339 time."""
    found = _TIME.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise ValueError('expected an RFC 3339 time such as "2026-01-31T12:00:00Z"')
    # RFC 3339 knows leap seconds, the calendar does not: :60 is the second before.
    clock = re.sub(r":60$", ":59", found["time"])
    part = (found["part"] or "")[:7]
    zone = "+00:00" if found["zone"] in "Zz" else found["zone"]
    try:
        if not 1970 < int(found["date"][:4]) < 9990:  # so that the months around it are times too
            raise ValueError
        return to_us(datetime.fromisoformat(f"{found['date']}T{clock}{part}{zone}").astimezone(UTC))
    except (ValueError, OverflowError):
        raise ValueError("there is no such time") from None


def time_text(us: int) -> str:
    """RFC 3339, UTC; a fraction only where there is one."""
    moment = from_us(us)
    fraction = f".{moment.microsecond:06d}".rstrip("0") if moment.microsecond else ""
    return f"{moment:%Y-%m-%dT%H:%M:%S}".zfill(19) + f"{fraction}Z"


def time_or_none(us: int | None) -> str | None:
    """The same; None stays None."""
    return None if us is None else time_text(us)


def _well_formed(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("is not well-formed Unicode") from None
    if not is_plain(text):
        raise ValueError("must not hold control characters")
    return text


def _visible(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be blank")
    return text


def _email(text: str) -> str:
    try:
        return normal_email(text)
    except AccountError:
        raise ValueError("is not an e-mail address") from None


def _zone(text: str) -> str:
    if text not in available_timezones():
        raise ValueError("is not a time zone of the IANA data")
    return text


def _network(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text, strict=False))
    except ValueError:
        raise ValueError('expected an address or network such as "10.0.0.0/8"') from None


Time = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
"""A time in an answer."""
GivenTime = Annotated[int, BeforeValidator(parse_time), WithJsonSchema({"type": "string", "format": "date-time"})]
"""A time in a request, as microseconds."""
Plain = Annotated[str, AfterValidator(_well_formed)]
Name = Annotated[
    str,
    Field(
        min_length=1,
        max_length=100,
        json_schema_extra={"pattern": rf"^[^{ODD}]*[^\s{ODD}][^{ODD}]*$"},
    ),
    AfterValidator(_well_formed),
    AfterValidator(_visible),
]
Email = Annotated[
    str, Field(min_length=3, max_length=254, json_schema_extra={"format": "email"}), AfterValidator(_email)
]
Password = Annotated[str, Field(min_length=10, max_length=256)]
OneTimeToken = Annotated[str, Field(min_length=16, max_length=256)]
Scope = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}$")]
Zone = Annotated[str, AfterValidator(_zone), Field(json_schema_extra={"examples": ["Europe/Berlin", "UTC"]})]
Network = Annotated[str, Field(max_length=64, json_schema_extra={"examples": ["10.0.0.0/8"]}), AfterValidator(_network)]
Count = Annotated[int, Field(ge=0)]


class Money(Model):
    """An amount, always with its currency and always as text, with the currency's decimals at least."""

    amount: str = Field(pattern=r"^-?[0-9]+(\.[0-9]+)?$")
    currency: str = Field(pattern="^[A-Z]{3}$")

    @classmethod
    def of(cls, amount: Decimal, currency: str) -> "Money":
        places = max(exponent(currency), -int(amount.normalize().as_tuple().exponent))
        return cls(amount=f"{amount:.{places}f}", currency=currency)


class PeriodView(Model):
    """Half-open: ``start`` belongs to it, ``end`` does not."""

    start: Time
    end: Time

    @classmethod
    def of(cls, period: Period) -> "PeriodView":
        return cls.between(to_us(period.start), to_us(period.end))

    @classmethod
    def between(cls, start_us: int, end_us: int) -> "PeriodView":
        return cls(start=time_text(start_us), end=time_text(end_us))


class Listed(Model, Generic[Row]):
    """A page of a list; ``next`` is passed as ``after`` for the following one."""

    data: list[Row]
    next: str | None


class PageQuery(Query):
    """Which page of a list."""

    limit: int = Field(50, ge=1, le=MAX_LIMIT)
    after: str | None = Field(None, min_length=1, max_length=200)


class Accepted(Model):
    """The request was taken; what follows comes by mail."""

    status: Literal["accepted"] = "accepted"


def page_of(rows: Sequence[Row], query: PageQuery, identity: "Identity") -> tuple[list[Row], str | None]:
    """A page of a list that is held in memory, by the id of its rows."""
    start = 0
    if query.after is not None:
        start = next((place + 1 for place, row in enumerate(rows) if identity(row) == query.after), len(rows))
    page = list(rows[start : start + query.limit])
    more = start + query.limit < len(rows)
    return page, identity(page[-1]) if page and more else None


class Identity:
    """How a row of a list is named in its cursor."""

    def __init__(self, attribute: str) -> None:
        self._attribute = attribute

    def __call__(self, row: object) -> str:
        return str(getattr(row, self._attribute))


BY_ID = Identity("id")
