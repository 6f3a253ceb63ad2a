"""What every desk has: the store, the newest configuration, the time, and one way to write."""

from collections.abc import Callable, Sequence

from gateway.clock import Clock
from gateway.config.snapshot import Snapshot
from gateway.errors import GatewayError
from gateway.invoicing.account import Account
from gateway.invoicing.catalogue import publish
from gateway.invoicing.cycle import Context
from gateway.invoicing.loading import living_subscription, load_accounts
from gateway.invoicing.outcome import Fault, Outcome, no_fault, write_outcomes
from gateway.invoicing.settings import BillingSettings
from gateway.payments.manual import ManualPayments
from gateway.payments.ports import PaymentProvider
from gateway.storage import billing_schema as schema
from gateway.storage.billing import Books
from gateway.storage.billing_values import InvoiceRow
from gateway.storage.ports import PLATFORM
from gateway.storage.store import Store


class InvoiceError(GatewayError):
    """What was asked of an invoice or subscription cannot be; the message says why and is fit to be shown."""


class NotFound(InvoiceError):
    """There is no such invoice or subscription within the scope."""


class Office:
    """The ground of all desks. Every method may run in several processes at once."""

    def __init__(
        self,
        store: Store,
        snapshot: Callable[[], Snapshot],
        clock: Clock,
        fault: Fault = no_fault,
        providers: Sequence[PaymentProvider] = (),
    ) -> None:
        self.store = store
        self.billing = store.billing
        self.snapshot = snapshot
        self.clock = clock
        self.fault = fault
        self.punctual: dict[str, tuple[object, int]] = {}  # tenants that had no late usage, until when that is believed
        self._settings: tuple[Snapshot, BillingSettings] | None = None  # of the snapshot that it was read from
        by_hand = ManualPayments(lambda: BillingSettings.of(snapshot()).seller)
        self.providers: dict[str, PaymentProvider] = {one.name: one for one in (by_hand, *providers)}

    async def context(self, now_us: int | None = None) -> Context:
        """The configuration's terms and the catalog, which learns new prices here."""
        snapshot = self.snapshot()
        if self._settings is None or self._settings[0] is not snapshot:
            self._settings = snapshot, BillingSettings.of(snapshot)
        settings = self._settings[1]
        return Context(await publish(self.billing, settings, now_us or self.clock.now()), settings)

    async def write(self, outcomes: Sequence[Outcome], context: Context) -> None:
        """All of the outcomes in one transaction; raises ``Moved`` or ``Conflict`` when another process was first."""
        if outcomes:
            async with self.billing.write(PLATFORM) as books:
                await write_outcomes(books, outcomes, context.settings.prefix, self.fault)
            self.fault("after commit")

    async def find(self, books: Books, id: str) -> InvoiceRow:
        """An invoice by id or number; raises ``NotFound``."""
        table = schema.invoices.c
        found = await books.one(InvoiceRow, (table.id == id) | (table.number == id))
        if found is None:
            raise NotFound(f"there is no invoice {id}")
        return found

    async def living(self, books: Books, tenant: str) -> Account:
        """The account of a tenant's subscription; raises ``NotFound``."""
        row = await living_subscription(books, tenant)
        if row is None:
            raise NotFound(f"tenant {tenant} has no subscription")
        return (await load_accounts(books, [row]))[0]
