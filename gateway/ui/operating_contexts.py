"""What the operator's working pages are given: one frozen dataclass a page."""

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.storage.values import AuditEntry


@dataclass(frozen=True, slots=True)
class NewTenant:
    """The form for a tenant, as typed."""

    plans: tuple[str, ...]
    name: str = ""
    plan: str = ""
    timezone: str = "UTC"
    error: str = ""


@dataclass(frozen=True, slots=True)
class AuditList:
    """One page of the audit log, newest first; ``names`` are e-mails by actor."""

    rows: tuple[AuditEntry, ...]
    names: Mapping[str, str]
    next: str
    first: bool
    with_tenant: bool


@dataclass(frozen=True, slots=True)
class ConfigSection:
    """A section as YAML; ``more`` entries are left out, ``cut``: the text goes on."""

    name: str
    text: str
    more: int
    cut: bool


@dataclass(frozen=True, slots=True)
class ConfigView:
    """The effective configuration."""

    sections: tuple[ConfigSection, ...]
    folder: str
    version: int
