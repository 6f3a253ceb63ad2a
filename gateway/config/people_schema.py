"""The blocks about people and about usage from outside: ``accounts``, ``mail``, ``events``."""

import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field

from gateway.config.accounts import Aggregate
from gateway.config.fields import JsonPath, Strict, Token


def _secret(value: object) -> object:
    if isinstance(value, str) and 0 < len(value.encode()) < 32:
        raise ValueError("must have at least 32 bytes, or be empty to have one generated in data_dir")
    return value


def _smtp_url(value: object) -> object:
    # The value may hold a password and is never repeated.
    if isinstance(value, str):
        parts = urlsplit(value)
        if parts.scheme not in ("smtp", "smtps") or not parts.hostname or parts.path not in ("", "/"):
            raise ValueError('expected a URL such as "smtp://mail.example.com:587"')
        try:
            _ = parts.port
        except ValueError:
            raise ValueError("the port must be 1 to 65535") from None
    return value


def _sender(value: object) -> object:
    if isinstance(value, str) and not re.fullmatch(r"([^<>@\r\n]+ )?<?[^<>@\s]+@[^<>@\s]+>?", value):
        raise ValueError('expected an address such as "Example <api@example.com>"')
    return value


class AccountsBlock(Strict):
    secret: Annotated[str, BeforeValidator(_secret)]
    registration: Literal["open", "invite", "closed"]
    default_plan: Token
    verify_email: Literal["auto", "on", "off"]


class MailBlock(Strict):
    url: Annotated[str, BeforeValidator(_smtp_url)] | None
    from_: Annotated[str, BeforeValidator(_sender)] | None = Field(alias="from")


class EventBlock(Strict):
    """Events of one type: the meter that they count on, and how."""

    meter: Token
    aggregate: Aggregate = "sum"
    value: JsonPath | None = None
