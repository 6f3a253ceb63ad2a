"""Composes what pages and API share about accounts: people, teams, registration, tokens, keys; and where mail goes."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gateway.accounts.key_book import Applied, KeyBook, OwnerFile
from gateway.accounts.mail import Mailer
from gateway.accounts.people import Accounts
from gateway.accounts.registration import Registration
from gateway.accounts.team import TeamDesk
from gateway.accounts.throttle import LoginThrottle
from gateway.accounts.tokens import TokenDesk
from gateway.clock import Clock
from gateway.config.accounts import account_settings, mail_settings
from gateway.config.snapshot import Snapshot
from gateway.notifiers.outbox import Outbox
from gateway.notifiers.smtp import SmtpSender
from gateway.storage.store import Store


@dataclass(frozen=True, slots=True)
class AccountDesks:
    """One of each for the whole process, so that throttles count pages and API together."""

    accounts: Accounts
    registration: Registration
    team: TeamDesk
    tokens: TokenDesk
    keys: KeyBook
    throttle: LoginThrottle
    mailer: Mailer
    smtp: SmtpSender


def account_desks(
    store: Store,
    clock: Clock,
    snapshot: Callable[[], Snapshot],
    data_dir: Path,
    applied: Applied,
    owner_file: OwnerFile,
) -> AccountDesks:
    """The desks over a store. Settings are read anew each time: a reload of the configuration holds at once."""
    folder = data_dir / "mail"
    mailer = Outbox(folder, clock, lambda: mail_settings(snapshot().source).sender)
    accounts = Accounts(store.people, store.audit, clock, lambda: account_settings(snapshot().source).verify_email)
    registration = Registration(
        store,
        clock,
        accounts,
        mailer,
        lambda: account_settings(snapshot().source),
        lambda: snapshot().server.public_url,
    )
    return AccountDesks(
        accounts=accounts,
        registration=registration,
        team=TeamDesk(store, clock, accounts, mailer, registration),
        tokens=TokenDesk(store, clock),
        keys=KeyBook(store, clock, applied, owner_file),
        throttle=LoginThrottle(),
        mailer=mailer,
        smtp=SmtpSender(folder, lambda: mail_settings(snapshot().source).url),
    )
