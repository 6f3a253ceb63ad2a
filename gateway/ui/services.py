"""What the pages need from the rest of the gateway, as ports. ``gateway.storage.Store`` fits ``Store`` as it is."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Protocol
from zoneinfo import ZoneInfo

from gateway.accounts.key_book import Applied, KeyBook
from gateway.accounts.people import Accounts
from gateway.accounts.ports import People
from gateway.accounts.registration import Registration
from gateway.accounts.team import TeamDesk
from gateway.accounts.tokens import TokenDesk
from gateway.clock import Clock
from gateway.config.snapshot import Snapshot
from gateway.errors import GatewayError
from gateway.invoicing.following import BillingDesk
from gateway.period import Period
from gateway.quotas.limit import Mode
from gateway.storage.account_values import TenantSettings
from gateway.storage.ports import Scope, UsageQuery, UsageTotals
from gateway.storage.values import (
    AuditEntry,
    Bucket,
    CallFilter,
    CallRow,
    Dimension,
    Page,
    RefusalSum,
    UsageSum,
)
from gateway.tenants.model import Key, Tenant, TenantStatus
from gateway.ui.reconciling import Comparison


class Tenants(Protocol):
    """The tenants that a scope may see."""

    async def list(
        self, scope: Scope, limit: int = 50, after: str | None = None, *, search: str = ""
    ) -> Page[Tenant]: ...
    async def get(self, scope: Scope, id: str) -> Tenant | None: ...
    async def create(self, scope: Scope, tenant: Tenant, now_us: int) -> int: ...
    async def set_status(self, scope: Scope, id: str, status: TenantStatus, now_us: int, actor: str) -> int | None: ...
    async def change(self, scope: Scope, tenant: Tenant) -> int | None: ...
    async def settings(self, scope: Scope, id: str) -> TenantSettings | None: ...
    async def set_settings(self, scope: Scope, id: str, settings: TenantSettings) -> bool: ...


class Keys(Protocol):
    """Keys, newest first, and when each was last used (key id to microseconds)."""

    async def list(self, scope: Scope, tenant: str) -> list[Key]: ...
    async def last_used(self, scope: Scope, tenant: str) -> dict[str, int]: ...


class Audit(Protocol):
    """The audit log, newest first."""

    async def append(self, scope: Scope, entry: AuditEntry) -> object: ...
    async def list(self, scope: Scope, limit: int = 50, after: str | None = None) -> Page[AuditEntry]: ...


class Ledger(Protocol):
    """Reads of the ledger. ``posting_sequence`` moves with every posted batch."""

    async def posting_sequence(self, scope: Scope) -> int: ...
    async def complete_until(self, scope: Scope) -> int: ...
    async def totals(self, scope: Scope, query: UsageQuery) -> UsageTotals: ...
    async def calls(
        self, scope: Scope, filter: CallFilter, limit: int = 50, after: str | None = None
    ) -> Page[CallRow]: ...
    async def series(
        self, scope: Scope, query: UsageQuery, bucket: Bucket = "hour", zone: ZoneInfo = ...
    ) -> list[UsageSum]: ...
    async def periods(
        self, scope: Scope, periods: Sequence[tuple[int, int]], key: str = "", route: str = ""
    ) -> list[UsageSum]: ...
    async def breakdown(self, scope: Scope, query: UsageQuery, by: Dimension = "route") -> list[UsageSum]: ...
    async def breakdowns(
        self, scope: Scope, query: UsageQuery, by: Sequence[Dimension] = ...
    ) -> list[list[UsageSum]]: ...
    async def top_tenants(self, scope: Scope, query: UsageQuery, limit: int = 10) -> list[UsageSum]: ...
    async def latency(self, scope: Scope, query: UsageQuery) -> tuple[int, ...]: ...
    async def refusals(self, scope: Scope, query: UsageQuery) -> list[RefusalSum]: ...
    async def quota_sums(
        self, scope: Scope, tenant: str, meter: str, start_us: int, end_us: int, *, routes: Sequence[str] = ()
    ) -> int: ...


class Store(Protocol):
    """The repositories that pages read."""

    @property
    def tenants(self) -> Tenants: ...
    @property
    def keys(self) -> Keys: ...
    @property
    def people(self) -> People: ...
    @property
    def audit(self) -> Audit: ...
    @property
    def ledger(self) -> Ledger: ...


@dataclass(frozen=True, slots=True)
class LimitUse:
    """A limit's live use in one scope. ``window`` is words ("per month"), ``scope`` "tenant" or "key k1".

    ``reset_us`` is the instant at which room returns, ``start_us`` where a calendar window began (None: no
    forecast). ``max`` counts in whole units of ``meter``.
    """

    name: str
    meter: str
    used: int
    max: int
    window: str
    reset_us: int | None
    mode: Mode
    scope: str
    start_us: int | None = None


@dataclass(frozen=True, slots=True)
class BillLine:
    """One line of an estimate; ``amount`` is rounded to the currency's exponent already."""

    description: str
    quantity: str
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Bill:
    """What a period would cost if it ended now; an invoice's preview has its credits and taxes among the lines."""

    lines: tuple[BillLine, ...]
    total: Decimal
    currency: str


LimitReader = Callable[[Tenant, Sequence[Key]], "list[LimitUse]"]
"""The live use of every limit of a tenant (limits by key: one entry a key); raises ``StoreUnavailable``."""

BillEstimator = Callable[[Snapshot, Tenant, Mapping[str, int], Period], Bill | None]
"""The estimate for the units per meter of a period; None when the plan has no prices."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A message that is kept as a file."""

    to: str
    subject: str
    date: str
    text: str


class TryFailed(GatewayError):
    """A tried call got no answer; the message is fit to be shown."""


@dataclass(frozen=True, slots=True)
class TryCall:
    """A call that a person tries. ``target`` is path and query; ``key`` empty: without one."""

    method: str
    target: str
    host: str
    key: str = field(repr=False)
    content_type: str
    body: bytes


@dataclass(frozen=True, slots=True)
class TryAnswer:
    """What the gateway answered. ``cut``: the body went on."""

    status: int
    reason: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    cut: bool
    took_us: int


Trier = Callable[[TryCall], Awaitable[TryAnswer]]
"""Makes one real call through the gateway; raises ``TryFailed``."""


@dataclass(frozen=True, slots=True)
class UiServices:
    """All inputs of the pages. ``limit_states`` None: limits are shown from the ledger; ``try_call`` None: no panel.

    ``managed_by`` names the file of a field that the configuration owns; ``targets`` says by ``upstream|url`` whether
    calls are sent there.
    """

    store: Store
    snapshot: Callable[[], Snapshot]
    clock: Clock
    secret: bytes
    estimate: BillEstimator
    accounts: Accounts
    registration: Registration
    team: TeamDesk
    tokens: TokenDesk
    keys: KeyBook
    billing: BillingDesk
    managed_by: Callable[[tuple[str, ...]], str]
    applied: Applied
    letters: Callable[[], list[Letter]]
    compare: Callable[[], Awaitable[Comparison]]
    targets: Callable[[], dict[str, bool]]
    limit_states: LimitReader | None = None
    try_call: Trier | None = None


if TYPE_CHECKING:
    from gateway.storage import store as _store

    _: type[Store] = _store.Store
