"""What people type about a key, and what it means."""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from zoneinfo import ZoneInfo

from gateway.accounts.refused import Refused
from gateway.period import from_us, local_midnight, to_us
from gateway.tenants.model import Key
from gateway.tenants.names import is_name
from gateway.ui.contexts import KeyForm

MAX_NAME = 100
MAX_ENTRIES = 50
_SCOPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}", re.ASCII)


@dataclass(frozen=True, slots=True)
class WantedKey:
    """A key's fields, valid."""

    name: str
    scopes: tuple[str, ...]
    addresses: tuple[str, ...]
    expires_us: int | None


def read_form(sent: Mapping[str, object]) -> KeyForm:
    """The form's text fields; what is missing is empty."""
    found = {name: sent.get(name) for name in ("name", "scopes", "addresses", "expires")}
    return KeyForm(**{name: value.strip() if isinstance(value, str) else "" for name, value in found.items()})


def form_of(key: Key, zone: ZoneInfo) -> KeyForm:
    """A key's present fields, to be changed. Its last day is the one before the midnight at which it ends."""
    expires = ""
    if key.expires_us is not None:
        expires = from_us(key.expires_us - 1).astimezone(zone).date().isoformat()
    return KeyForm(key.name, " ".join(key.scopes), " ".join(key.addresses), expires)


def parse(form: KeyForm, zone: ZoneInfo) -> WantedKey:
    """The fields; raises ``Refused`` for the first that is none."""
    if not is_name(form.name, MAX_NAME):
        raise Refused(
            "invalid", f"Give the key a name of at most {MAX_NAME} characters, without control characters.", "name"
        )
    return WantedKey(form.name, _scopes(form.scopes), _addresses(form.addresses), _end(form.expires, zone))


def _entries(text: str, field: str) -> tuple[str, ...]:
    entries = tuple(dict.fromkeys(text.replace(",", " ").split()))
    if len(entries) > MAX_ENTRIES:
        raise Refused("invalid", f"At most {MAX_ENTRIES} {field}.", field)
    return entries


def _scopes(text: str) -> tuple[str, ...]:
    scopes = _entries(text, "scopes")
    for scope in scopes:
        if not _SCOPE.fullmatch(scope):
            raise Refused("invalid", f'"{scope[:64]}" is no scope: letters, digits and _ . : - only.', "scopes")
    return scopes


def _addresses(text: str) -> tuple[str, ...]:
    networks = []
    for entry in _entries(text, "addresses"):
        try:
            networks.append(str(ipaddress.ip_network(entry)))
        except ValueError:
            raise Refused(
                "invalid", f'"{entry[:64]}" is no address or network such as 203.0.113.0/24.', "addresses"
            ) from None
    return tuple(networks)


def _end(text: str, zone: ZoneInfo) -> int | None:
    """The midnight after the last day, in the tenant's zone."""
    if not text:
        return None
    try:
        last = date.fromisoformat(text)
        return to_us(local_midnight(last + timedelta(days=1), zone))
    except (ValueError, OverflowError):
        raise Refused("invalid", "The last day is a date such as 2030-01-31.", "expires") from None
