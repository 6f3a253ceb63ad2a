"""What the pages of one's own access and of an organisation's settings are given."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TokenLine:
    """A living personal token, without its text."""

    id: str
    name: str
    hint: str
    scopes: tuple[str, ...]
    created_us: int
    expires_us: int | None
    used_us: int | None


@dataclass(frozen=True, slots=True)
class SessionLine:
    """A login; ``idle_us`` is when it ends unless it is used, ``here``: that of this page."""

    id: str
    address: str
    created_us: int
    idle_us: int
    here: bool


@dataclass(frozen=True, slots=True)
class TokenForm:
    """A token's fields as typed."""

    name: str = ""
    expires: str = ""


@dataclass(frozen=True, slots=True)
class FreshToken:
    """A token that was made just now: its text is on this one page and nowhere else."""

    text: str
    name: str


@dataclass(frozen=True, slots=True)
class AccessView:
    """What lets a person in."""

    tokens: tuple[TokenLine, ...]
    sessions: tuple[SessionLine, ...]
    areas: tuple[str, ...]
    form: TokenForm
    fresh: FreshToken | None
    error: str
    notice: str


@dataclass(frozen=True, slots=True)
class SettingsView:
    """An organisation's settings; ``managed``: where the configuration holds name and zone."""

    base: str
    name: str
    timezone: str
    locale: str
    date_format: str
    may_write: bool
    may_name: bool
    managed: str
    error: str
    notice: str
