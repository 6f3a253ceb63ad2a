"""What the API needs from the rest of the gateway."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from gateway.accounts.api_sessions import ApiSessions
from gateway.accounts.key_book import KeyBook, OwnerFile
from gateway.accounts.people import Accounts
from gateway.accounts.registration import Registration
from gateway.accounts.team import TeamDesk
from gateway.accounts.throttle import LoginThrottle
from gateway.accounts.tokens import TokenDesk
from gateway.api.admission import Admission
from gateway.clock import Clock
from gateway.config.snapshot import Snapshot
from gateway.invoicing.following import BillingDesk
from gateway.quotas.limit import Mode
from gateway.storage.store import Store
from gateway.tenants.model import Key, Principal, Tenant


class LimitState(Protocol):
    """A limit's live use in one scope; see ``gateway.ui.services.LimitUse``."""

    @property
    def name(self) -> str: ...
    @property
    def meter(self) -> str: ...
    @property
    def used(self) -> int: ...
    @property
    def max(self) -> int: ...
    @property
    def window(self) -> str: ...
    @property
    def reset_us(self) -> int | None: ...
    @property
    def mode(self) -> Mode: ...
    @property
    def scope(self) -> str: ...
    @property
    def start_us(self) -> int | None: ...


LimitReader = Callable[[Tenant, Sequence[Key]], Sequence[LimitState]]
FindKey = Callable[[bytes], Principal | None]


@dataclass(frozen=True, slots=True)
class ApiServices:
    """All inputs. ``find_key`` is the workers' own look-up; ``applied`` waits until they serve by a change."""

    store: Store
    snapshot: Callable[[], Snapshot]
    clock: Clock
    secret: bytes
    accounts: Accounts
    sessions: ApiSessions
    tokens: TokenDesk
    keys: KeyBook
    team: TeamDesk
    registration: Registration
    throttle: LoginThrottle
    billing: BillingDesk
    limits: LimitReader
    find_key: FindKey
    applied: Callable[[int], Awaitable[bool]]
    owner_file: OwnerFile
    admission: Admission = field(default_factory=Admission)
