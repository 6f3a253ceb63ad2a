"""What each template is given: one frozen dataclass a page. Templates format; they never compute or fetch."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from markupsafe import Markup

from gateway.quotas.limit import Mode
from gateway.routing.route import Route
from gateway.storage.account_values import Invitation
from gateway.storage.values import CallRow, User
from gateway.tenants.model import Tenant
from gateway.tenants.permissions import Access as Right
from gateway.tenants.permissions import Area, allows
from gateway.ui.charts import BarChart, Share
from gateway.ui.forecast import Forecast
from gateway.ui.services import Bill, TryAnswer

Level = Literal["calm", "near", "full"]
Theme = Literal["auto", "light", "dark"]


@dataclass(frozen=True, slots=True)
class Shell:
    """The frame around every page. ``live`` is the address of the page's event stream, empty for a still page.

    ``once`` is this page's own number: a form that it sends twice acts once.
    """

    title: str
    path: str
    user: User | None
    tenant: Tenant | None
    csrf: str
    once: str
    theme: Theme
    now_us: int
    zone: str = "UTC"
    locale: str = ""
    date_format: str = ""
    live: str = ""
    fragment: bool = False

    @property
    def proof(self) -> Markup:
        """What every form carries: that it is ours, and which one it is."""
        field = Markup('<input type="hidden" name="{}" value="{}">')
        return field.format("csrf", self.csrf) + (field.format("once", self.once) if self.user else "")

    @property
    def is_platform(self) -> bool:
        return self.user is not None and self.user.tenant is None

    def may(self, area: Area, right: Right = "read") -> bool:
        """Whether the visitor has a right: what a page offers. The door decides by the same table."""
        user = self.user
        return user is not None and allows(user.role, of_tenant=user.tenant is not None, area=area, access=right)


@dataclass(frozen=True, slots=True)
class LimitBar:
    """A limit with its bar. ``fill`` is 0 to 1000 (per mille); ``near`` from 80 %, ``full`` from 100 %.

    ``fewer`` is how many more of this limit, of other keys, are left out because they are emptier.
    """

    name: str
    meter: str
    scope: str
    window: str
    mode: Mode
    used: int
    max: int
    reset_us: int | None
    fill: int
    level: Level
    forecast: Forecast | None
    fewer: int = 0


@dataclass(frozen=True, slots=True)
class KeyLine:
    """A key as it may be shown: never its secret."""

    id: str
    name: str
    hint: str
    state: Literal["active", "expired", "revoked"]
    source: str
    expires_us: int | None
    used_us: int | None
    scopes: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    created_us: int = 0


@dataclass(frozen=True, slots=True)
class KeyForm:
    """A key's fields as typed; ``expires`` is an ISO date, the last day on which it works."""

    name: str = ""
    scopes: str = ""
    addresses: str = ""
    expires: str = ""


@dataclass(frozen=True, slots=True)
class FreshKey:
    """A key that was made just now: its text is on this one page and nowhere else."""

    text: str
    name: str
    instead_of: str = ""


@dataclass(frozen=True, slots=True)
class KeyList:
    """A tenant's keys, working ones first; ``next`` is the id to go on after."""

    base: str
    rows: tuple[KeyLine, ...]
    next: str
    first: bool
    may_create: bool
    form: KeyForm
    error: str = ""

    @property
    def keys(self) -> tuple[KeyLine, ...]:
        """The rows, under the name that the overview's table reads."""
        return self.rows


@dataclass(frozen=True, slots=True)
class KeyView:
    """One key. ``managed`` says where the configuration holds it, if it does."""

    base: str
    usage: str
    line: KeyLine
    may_change: bool
    managed: str
    form: KeyForm
    fresh: FreshKey | None = None
    error: str = ""
    notice: str = ""


@dataclass(frozen=True, slots=True)
class BillView:
    """The estimate, for the period ``[start_us, end_us)`` in ``zone``; ``bill`` None: there is nothing to pay.

    ``subscribed``: it is the preview of the next invoice; else the plan's prices on the whole month, before tax.
    """

    bill: Bill | None
    start_us: int
    end_us: int
    zone: str
    subscribed: bool


@dataclass(frozen=True, slots=True)
class TenantView:
    """A tenant's state, the same for the operator and for the tenant's own people."""

    tenant: Tenant
    plan_known: bool
    limits: tuple[LimitBar, ...]
    limits_exact: bool
    chart: BarChart
    routes: tuple[Share, ...]
    keys: tuple[KeyLine, ...]
    calls: tuple[CallRow, ...]
    bill: BillView
    month_calls: int
    month_failed: int
    example: str
    complete_until_us: int

    @property
    def pressing(self) -> tuple[LimitBar, ...]:
        """Limits that deserve a word at the top."""
        return tuple(bar for bar in self.limits if bar.level != "calm")


@dataclass(frozen=True, slots=True)
class Overview:
    """The operator's first page: the last 24 hours and the month so far."""

    calls: int
    failed: int
    refused: int
    p95_us: int | None
    revenue: tuple[tuple[str, Decimal], ...]
    complete_until_us: int
    tenants: int
    chart: BarChart
    top: tuple[Share, ...]
    routes: tuple[Share, ...]
    recent: tuple[CallRow, ...]
    example: str


@dataclass(frozen=True, slots=True)
class TenantLine:
    """One row of the list of tenants; figures are of the tenant's current month."""

    tenant: Tenant
    calls: int
    fill: int


@dataclass(frozen=True, slots=True)
class TenantList:
    """One page of tenants; ``next`` is the cursor, empty on the last page."""

    rows: tuple[TenantLine, ...]
    next: str
    first: bool
    search: str = ""


@dataclass(frozen=True, slots=True)
class RouteLine:
    """A route with its traffic of the last 24 hours; ``health`` says by ``upstream|url`` whether calls are sent."""

    route: Route
    calls: int
    failed: int
    health: Mapping[str, bool]


@dataclass(frozen=True, slots=True)
class CallList:
    """One page of calls, newest first."""

    rows: tuple[CallRow, ...]
    next: str
    first: bool
    base: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Option:
    """One entry of a choice."""

    value: str
    text: str
    chosen: bool


@dataclass(frozen=True, slots=True)
class UsageRow:
    """One route's or key's usage; ``units`` are billable, one figure a column of the page."""

    name: str
    href: str
    calls: int
    failed: int
    billable: int
    units: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class UsageView:
    """A tenant's usage: twelve months, and the month ``[start_us, end_us)`` by day, route and key.

    ``received`` and ``sent`` are bytes of bodies, seen from the API.
    """

    base: str
    months: tuple[Option, ...]
    keys: tuple[Option, ...]
    routes: tuple[Option, ...]
    meters: tuple[Option, ...]
    start_us: int
    end_us: int
    current: bool
    calls: int
    failed: int
    billable: int
    received: int
    sent: int
    units: tuple[tuple[str, int], ...]
    history: BarChart
    days: BarChart
    columns: tuple[str, ...]
    by_route: tuple[UsageRow, ...]
    by_key: tuple[UsageRow, ...]
    complete_until_us: int

    @property
    def narrowed(self) -> bool:
        """Whether only one key's or route's usage is shown."""
        return any(option.chosen and option.value for option in (*self.keys, *self.routes))


@dataclass(frozen=True, slots=True)
class TryForm:
    """A call to try, as typed; the key is never given back."""

    method: str
    path: str
    host: str
    body_type: str
    body: str


@dataclass(frozen=True, slots=True)
class TryView:
    """The try-it panel, with the answer of the call just made. ``text`` is its body; ``binary``: it is no text."""

    form: TryForm
    methods: tuple[str, ...]
    body_types: tuple[str, ...]
    hosts: tuple[str, ...]
    paths: tuple[str, ...]
    answer: TryAnswer | None
    text: str
    binary: bool
    error: str


@dataclass(frozen=True, slots=True)
class PersonLine:
    """One of a team, and whether the visitor may change their role and access."""

    user: User
    may_change: bool


@dataclass(frozen=True, slots=True)
class TeamView:
    """A team: an organisation's, or the platform's own people. ``roles`` are those that the visitor may give."""

    base: str
    people: tuple[PersonLine, ...]
    invitations: tuple[Invitation, ...]
    roles: tuple[str, ...]
    may_write: bool
    me: str
    next: str
    first: bool
    email: str = ""
    error: str = ""
    notice: str = ""


@dataclass(frozen=True, slots=True)
class Field:
    """One input of a form."""

    name: str
    label: str
    type: str
    autocomplete: str
    maxlength: int
    value: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class EntranceForm:
    """A form for somebody without a session. ``token`` is that of the link that led here."""

    action: str
    heading: str
    intro: str
    button: str
    fields: tuple[Field, ...]
    token: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True)
class LoginForm:
    """The login form, after a failed try with what was typed (never the password)."""

    next: str
    email: str = ""
    error: str = ""
    may_register: bool = False


@dataclass(frozen=True, slots=True)
class AccountForm:
    """The person's own page."""

    has_password: bool
    error: str = ""
    notice: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """A page that only says something: errors, used-up links."""

    status: int
    heading: str
    text: str
    action: str
    href: str
