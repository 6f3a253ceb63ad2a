"""Opening the store: one door to all repositories."""

from contextlib import AbstractAsyncContextManager
from pathlib import Path

from gateway.storage.audit import Audit
from gateway.storage.billing import Billing
from gateway.storage.changes import Changes
from gateway.storage.engine import Database, Later
from gateway.storage.events import Events
from gateway.storage.invitations import Invitations
from gateway.storage.kept_answers import KeptAnswers
from gateway.storage.keys import Keys
from gateway.storage.leases import Leases
from gateway.storage.ledger import Ledger
from gateway.storage.location import is_missing, open_database
from gateway.storage.migrate import SchemaTooOld, check, revision_of
from gateway.storage.migrate import migrate as upgrade
from gateway.storage.people import People
from gateway.storage.plans import Plans
from gateway.storage.tenants import Tenants
from gateway.storage.tokens import Tokens


class Store:
    """The repositories over one database."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.tenants = Tenants(database)
        self.keys = Keys(database)
        self.changes = Changes(database)
        self.people = People(database)
        self.audit = Audit(database)
        self.ledger = Ledger(database)
        self.billing = Billing(database)
        self.tokens = Tokens(database)
        self.invitations = Invitations(database)
        self.answers = KeptAnswers(database)
        self.events = Events(database)
        self.plans = Plans(database)
        self.leases = Leases(database)

    def unit(self) -> AbstractAsyncContextManager[None]:
        """One transaction around all that the task does at the repositories within the block."""
        return self.database.unit()

    async def once_committed(self, action: Later) -> None:
        """Do it when the unit under way is committed, without one at once."""
        await self.database.once_committed(action)

    async def close(self) -> None:
        """Close every connection."""
        await self.ledger.close()
        await self.changes.close()
        await self.database.close()


def store_at(url: str, folder: Path) -> Store:
    """The store at ``url`` before anything was asked of it; ``bring_up`` comes first."""
    return Store(open_database(url, folder))


async def bring_up(store: Store, url: str, folder: Path, *, migrate: bool = True) -> None:
    """See that the store has this code's schema, upgrading it unless told not to.

    Raises ``StoreUnavailable``, ``SchemaTooNew``, and ``SchemaTooOld`` when the schema may not be upgraded here.
    """
    if is_missing(url, folder):
        if not migrate:
            raise SchemaTooOld(None)
        await upgrade(url, folder)
    try:
        check(await revision_of(store.database))
    except SchemaTooOld:
        if not migrate:
            raise
        await upgrade(url, folder)


async def open_store(url: str, folder: Path, *, migrate: bool = True) -> Store:
    """Open the store at ``url`` (relative paths are relative to ``folder``); raises what ``bring_up`` does."""
    store = store_at(url, folder)
    try:
        await bring_up(store, url, folder, migrate=migrate)
    except BaseException:
        await store.close()
        raise
    return store
