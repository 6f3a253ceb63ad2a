"""The configuration as people write it, block by block (CONTRACT, Configuration).

A field is here from the day that something reads it; before that it is refused as unknown. Times are microseconds
and sizes bytes once validated. What depends on two places at once is in ``checks``.
"""

import re
from typing import Annotated, Literal, get_args

from pydantic import BeforeValidator, Field

from gateway.config.billing_schema import BillingBlock, Days, PlanBilling, TenantTax
from gateway.config.fields import (
    Address,
    Count,
    DurationUs,
    HeaderName,
    HostRule,
    HttpUrl,
    IsoDate,
    JsonPath,
    KeepUs,
    KeyHash,
    Method,
    Names,
    Network,
    OneOrMore,
    PathRule,
    Positive,
    SizeBytes,
    Slug,
    Slugs,
    StatusPattern,
    Strict,
    Text,
    Token,
    Zone,
)
from gateway.config.limit_schema import LimitBlock, LimitOverride
from gateway.config.people_schema import AccountsBlock, EventBlock, MailBlock
from gateway.config.price_schema import Currency, PriceModel
from gateway.config.redis_url import parse_redis_url
from gateway.config.traffic_schema import (
    AddressesBlock,
    Balance,
    ClientsBlock,
    CorsBlock,
    EjectBlock,
    HeadersBlock,
    HealthBlock,
    ListenerTlsBlock,
    PathPrefix,
    UpstreamTlsBlock,
)
from gateway.routing.route import UnitSource

_STORE_FILE = re.compile(r"sqlite:///.+")
_STORE_SERVER = re.compile(r"postgresql://[^/?#\s]*/[^/?#\s]+(\?\S*)?")


def _store_url(value: object) -> object:
    # The value may hold a password and is never repeated.
    if isinstance(value, str) and not (_STORE_FILE.fullmatch(value) or _STORE_SERVER.fullmatch(value)):
        raise ValueError('expected "sqlite:///FILE" or "postgresql://USER@HOST/DATABASE"')
    return value


def _counters_url(value: object) -> object:
    # The value may hold a password and is never repeated.
    if isinstance(value, str) and not (value.startswith("mmap:///") and len(value) > len("mmap:///")):
        if not value.startswith(("redis://", "rediss://")):
            raise ValueError('expected "mmap:///FOLDER", or "redis://HOST:6379/0" (rediss:// for TLS)')
        parse_redis_url(value)
    return value


class ServerBlock(Strict):
    listen: Address
    control: Address
    portal: Address | None
    public_url: HttpUrl
    workers: Annotated[int, Field(ge=1, le=64)]
    trusted_proxies: list[Network]
    metrics_allow: list[Network]
    tls: ListenerTlsBlock | None = None
    clients: ClientsBlock = ClientsBlock()


class StoreBlock(Strict):
    url: Annotated[str, BeforeValidator(_store_url)]


class CountersBlock(Strict):
    url: Annotated[str, BeforeValidator(_counters_url)]
    deadline: Annotated[DurationUs, Field(ge=10_000, le=5_000_000)]


class SpoolBlock(Strict):
    fsync: Literal["interval", "always"]
    on_error: Literal["refuse", "serve"]
    max_size: SizeBytes
    keep: DurationUs


class CallsBlock(Strict):
    address: Literal["full", "truncated", "hashed"]
    keep: KeepUs


class TargetBlock(Strict):
    url: HttpUrl
    weight: Annotated[int, Field(ge=1, le=1000)] = 1


def _target(value: object) -> object:
    return {"url": value} if isinstance(value, str) else value


class UpstreamBlock(Strict):
    targets: Annotated[list[Annotated[TargetBlock, BeforeValidator(_target)]], Field(min_length=1)]
    connect_timeout: DurationUs = 2_000_000
    read_timeout: DurationUs = 30_000_000
    max_connections: Annotated[int, Field(ge=1)] | None = None
    balance: Balance = "round_robin"
    eject: EjectBlock = EjectBlock()
    health: HealthBlock | None = None
    tls: UpstreamTlsBlock | None = None


class MatchBlock(Strict):
    paths: OneOrMore[PathRule]
    methods: list[Method] = []
    hosts: list[HostRule] = []


class MeterBlock(Strict):
    """Exactly one source, and what is done when it gives no valid figure (SEMANTICS §9–12)."""

    constant: Count | None = None
    header: HeaderName | None = None
    json_: JsonPath | None = Field(None, alias="json")
    sse: JsonPath | None = None
    request_bytes: Literal[True] | None = None
    response_bytes: Literal[True] | None = None
    duration: Literal[True] | None = None
    estimate: Count | None = None
    max: Positive = 1_000_000_000
    missing: Count | None = None
    expose: bool = False
    scan: SizeBytes = 1 << 20
    drain: DurationUs = 30_000_000


SOURCES: tuple[UnitSource, ...] = get_args(UnitSource)


def _meter(value: object) -> object:
    """``calls: 1`` and ``bytes: response_bytes`` are short for a map."""
    if isinstance(value, int) and not isinstance(value, bool):
        return {"constant": value}
    if isinstance(value, str) and value in ("request_bytes", "response_bytes", "duration"):
        return {value: True}
    if isinstance(value, dict):
        given = [source for source in SOURCES if value.get(source) is not None]
        known = {field.alias or name for name, field in MeterBlock.model_fields.items()}
        if len(given) != 1 and known.issuperset(value):  # else the unknown field is the fault to report
            found = f"found {' and '.join(given)}" if given else "found none"
            raise ValueError(f"a meter has exactly one source ({', '.join(SOURCES)}); {found}")
        return value
    raise ValueError("expected a number of units, or a map with a source such as {json: usage.total_tokens}")


class RouteBlock(Strict):
    match: MatchBlock
    upstream: Token
    strip_prefix: bool = False
    auth: Literal["key", "none"] = "key"
    meters: Names[Annotated[MeterBlock, BeforeValidator(_meter)]] = {}
    billable: list[StatusPattern] = ["101", "2xx", "3xx", "4xx"]
    host: Literal["client", "upstream"] = "client"
    query_key: Token | None = None
    scopes: OneOrMore[Token] | None = None
    max_body: SizeBytes | None = None
    rewrite_prefix: PathPrefix | None = None
    connect_timeout: DurationUs | None = None
    read_timeout: DurationUs | None = None
    tunnel_idle: DurationUs = 3_600_000_000
    request_headers: HeadersBlock = HeadersBlock()
    response_headers: HeadersBlock = HeadersBlock()
    cors: CorsBlock | None = None
    addresses: AddressesBlock = AddressesBlock()


class PlanBlock(Strict):
    billing: PlanBilling = PlanBilling()
    currency: Currency | None = None
    trial: Days | None = None
    limits: list[LimitBlock] = []
    prices: list[PriceModel] = []


class KeyBlock(Strict):
    id: Slug
    hash: KeyHash
    name: Text | None = None
    scopes: list[Token] = []
    expires: IsoDate | None = None


class TenantBlock(Strict):
    name: Text | None = None
    plan: Token
    billing_cycle: Literal["month", "year"] = "month"
    timezone: Zone = "UTC"
    start: IsoDate | None = None
    alignment: Literal["calendar", "anniversary"] | None = None
    pin: bool = False
    quantity: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    billing: PlanBilling = PlanBilling()
    prices: list[PriceModel] = []
    tax: TenantTax = TenantTax()
    limits: Names[LimitOverride] = {}
    keys: list[KeyBlock] = []


class Document(Strict):
    """The whole configuration, all files merged and the defaults filled in."""

    version: Literal[1]
    server: ServerBlock
    data_dir: Annotated[str, Field(min_length=1)]
    store: StoreBlock
    counters: CountersBlock
    spool: SpoolBlock
    calls: CallsBlock
    headers: Literal["ietf", "x-ratelimit", "both", "off"]
    accounts: AccountsBlock
    mail: MailBlock
    events: Names[EventBlock]
    billing: BillingBlock
    plugins: list[Annotated[str, Field(min_length=1)]]
    upstreams: Names[UpstreamBlock]
    routes: Names[RouteBlock]
    plans: Names[PlanBlock]
    tenants: Slugs[TenantBlock]
