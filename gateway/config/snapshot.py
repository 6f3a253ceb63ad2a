"""One immutable configuration, compiled from the files: what a worker serves by until the next is swapped in."""

from dataclasses import dataclass
from pathlib import Path

from gateway.quotas.limit import Limit
from gateway.routing.route import Route, Upstream
from gateway.tenants.model import Key, Tenant


@dataclass(frozen=True, slots=True)
class Address:
    """A host and port to listen on."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class ListenerTls:
    """The data plane's certificate chain and key."""

    cert: Path
    key: Path


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """The ``server.clients`` block: bytes, microseconds, and connections per worker; None means no limit."""

    max_head: int = 32 * 1024
    max_target: int = 8 * 1024
    max_body: int | None = None
    head_timeout_us: int = 10_000_000
    body_timeout_us: int = 30_000_000
    write_timeout_us: int = 60_000_000
    idle_timeout_us: int = 75_000_000
    max_per_address: int | None = None
    max_idle: int | None = None


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """The ``server`` block."""

    listen: Address
    control: Address
    portal: Address | None
    public_url: str
    workers: int
    trusted_proxies: tuple[str, ...]
    metrics_allow: tuple[str, ...]
    tls: ListenerTls | None = None
    clients: ClientSettings = ClientSettings()


@dataclass(frozen=True, slots=True)
class SpoolSettings:
    """The ``spool`` block: sizes in bytes, times in microseconds."""

    fsync: str
    on_error: str
    max_size: int
    keep_us: int


@dataclass(frozen=True, slots=True)
class PlanLimits:
    """A plan as the data plane sees it: its version (content hash, 12 hex digits) and its limits."""

    name: str
    version: str
    limits: tuple[Limit, ...]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything the data plane needs of the configuration. ``version`` counts up with every accepted change.

    ``source`` is the resolved configuration (plain JSON types, environment filled in) from which this was compiled;
    the control plane reads catalog and seller from it. ``tenants`` and ``keys`` are those that the YAML owns.
    """

    version: int
    folder: Path
    data_dir: Path
    store_url: str
    counters_url: str
    counters_deadline_us: int
    server: ServerSettings
    spool: SpoolSettings
    headers: str
    address_mode: str
    plugins: tuple[Path, ...]
    upstreams: dict[str, Upstream]
    routes: tuple[Route, ...]
    plans: dict[str, PlanLimits]
    tenants: dict[str, Tenant]
    keys: tuple[Key, ...]
    source: dict[str, object]
    stored_plans: frozenset[str] = frozenset()
    """Plans of the store among ``plans``, laid beside the configuration's."""
    calls_keep_us: int | None = None
    """How long single calls and events stay; None: for ever."""
