"""Routes and upstreams as compiled values: what a request must look like, and where it goes."""

from dataclasses import dataclass, field
from typing import Literal

UnitSource = Literal["constant", "header", "json", "sse", "request_bytes", "response_bytes", "duration"]


@dataclass(frozen=True, slots=True)
class Meter:
    """What a route counts. ``constant`` meters are known on arrival; others reserve ``estimate`` (SEMANTICS §9, 10).

    ``path`` is the header's name (lower case) or the JSON path. ``missing`` is what a call counts that reports no
    valid figure. ``estimate`` None means the route's moving mean, at least 1.
    """

    name: str
    source: UnitSource
    amount: int = 0
    path: str = ""
    estimate: int | None = None
    max: int = 1_000_000_000
    missing: int | None = None
    expose: bool = False
    scan: int = 1 << 20
    drain_us: int = 30_000_000


@dataclass(frozen=True, slots=True)
class UpstreamTls:
    """How an https target is verified: ``ca`` is a file of certificates (empty: the system's), ``server_name`` the
    name that is asked for and checked (empty: the target's host).
    """

    ca: str = ""
    server_name: str = ""


@dataclass(frozen=True, slots=True)
class Target:
    """One place an upstream can be reached: ``scheme`` is http or https."""

    scheme: str
    host: str
    port: int
    weight: int = 1
    tls: UpstreamTls = UpstreamTls()

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """An active probe: GET ``path`` every ``interval_us``; 2xx and 3xx within ``timeout_us`` are healthy, and so many
    ``failures`` in a row are not.
    """

    path: str
    interval_us: int = 5_000_000
    timeout_us: int = 2_000_000
    failures: int = 2


@dataclass(frozen=True, slots=True)
class Ejection:
    """So many failed calls in a row take a target out, at first for ``pause_us``."""

    failures: int = 5
    pause_us: int = 10_000_000


@dataclass(frozen=True, slots=True)
class Upstream:
    """A named set of targets with its timeouts, in microseconds."""

    name: str
    targets: tuple[Target, ...]
    connect_timeout_us: int = 2_000_000
    read_timeout_us: int = 30_000_000
    health: HealthCheck | None = None
    balance: Literal["round_robin", "least_connections"] = "round_robin"
    ejection: Ejection = Ejection()
    max_connections: int | None = None
    """Of each worker to each target, kept ones too."""


@dataclass(frozen=True, slots=True)
class HeaderRules:
    """Changes to a message's fields: lower-case names to take out, and names that get one value."""

    remove: frozenset[str] = frozenset()
    set: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Cors:
    """What browsers on other origins may do. ``headers`` None: whatever they ask for."""

    origins: tuple[str, ...]
    methods: tuple[str, ...] = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
    headers: tuple[str, ...] | None = None
    expose: tuple[str, ...] = ()
    credentials: bool = False
    max_age_us: int = 600_000_000


@dataclass(frozen=True, slots=True)
class Route:
    """One route. ``paths`` keep the configuration's form: ``/x`` prefix, ``=/x`` exact, ``/x/{id}`` template.

    ``rewrite_prefix`` takes the place of the matched prefix. Timeouts of None are the upstream's. ``allow`` and
    ``deny`` are networks of callers. A key that names scopes must name all of ``scopes``. ``billable`` holds status
    patterns such as ``"2xx"`` or ``"101"``. ``methods`` and ``hosts`` empty mean any.
    """

    name: str
    upstream: Upstream
    paths: tuple[str, ...]
    methods: frozenset[str] = frozenset()
    hosts: tuple[str, ...] = ()
    strip_prefix: bool = False
    auth: Literal["key", "none"] = "key"
    meters: tuple[Meter, ...] = (Meter("calls", "constant", 1),)
    billable: tuple[str, ...] = ("101", "2xx", "3xx", "4xx")
    host: Literal["client", "upstream"] = "client"
    query_key: str = ""
    scopes: frozenset[str] = frozenset()
    rewrite_prefix: str | None = None
    connect_timeout_us: int | None = None
    read_timeout_us: int | None = None
    tunnel_idle_us: int = 3_600_000_000
    request_headers: HeaderRules = HeaderRules()
    response_headers: HeaderRules = HeaderRules()
    cors: Cors | None = None
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    options: dict[str, object] = field(default_factory=dict)
