"""The run: whatever is due to subscriptions, many to a transaction. Any number of processes may do it at once."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

from gateway.errors import GatewayError, StoreUnavailable
from gateway.invoicing.account import Account
from gateway.invoicing.cycle import Context, foresee
from gateway.invoicing.loading import load_accounts
from gateway.invoicing.office import Office
from gateway.invoicing.outcome import Outcome
from gateway.invoicing.steps import Now, next_step, rest, take_step
from gateway.invoicing.subscribing import adopt
from gateway.storage import billing_schema as schema
from gateway.storage.billing import Books
from gateway.storage.billing_rows import Condition, Moved
from gateway.storage.billing_values import InvoiceRow, SubscriptionRow
from gateway.storage.engine import Conflict
from gateway.storage.ports import PLATFORM

logger = logging.getLogger(__name__)

BATCH = 200
"""Subscriptions to a transaction: other writers wait for some tens of milliseconds."""

TRIES = 20
"""How often it is tried again when other processes were first."""

JOB = "billing job"

FAULTS = (GatewayError, ArithmeticError, AssertionError, LookupError, TypeError, ValueError)
"""What one subscription's own trouble may raise: it is told, and the others are billed."""


@dataclass
class RunReport:
    """What one run did. ``moved``: how often another process was first."""

    begun: int = 0
    drafts: int = 0
    final: list[InvoiceRow] = field(default_factory=list)
    moved: int = 0
    failed: dict[str, str] = field(default_factory=dict)


class RunDesk(Office):
    """What time demands."""

    batch = BATCH

    async def run(self, actor: str = JOB, at_us: int | None = None) -> RunReport:
        """Do all that is due, up to now: begin, close, finalize, mark overdue. Running it again changes nothing."""
        now = Now(at_us or self.clock.now(), actor)
        context = await self.context(now.us)
        report = RunReport()
        report.begun = await adopt(self.billing, now, context, refused=report.failed)
        table = schema.subscriptions.c
        size, lost = self.batch, 0
        while True:
            due = (table.next_us <= now.us, table.id.not_in(report.failed))
            rows, done = await self._advance(due, size, now, context, report)
            if not rows:
                return report
            if done:
                size, lost = self.batch, 0
                continue
            # Another process was first, or the store refuses one of them: fewer, until that one is alone.
            size, lost = max(1, size // 4), lost + 1
            if lost > TRIES:
                report.failed[rows[0].id] = "the store refused it again and again"

    async def advance(self, subscription: str, actor: str = JOB, at_us: int | None = None) -> RunReport:
        """All that is due to one subscription; raises ``Moved`` when other processes are always first."""
        now = Now(at_us or self.clock.now(), actor)
        context, report = await self.context(now.us), RunReport()
        for _ in range(TRIES):
            _, done = await self._advance((schema.subscriptions.c.id == subscription,), 1, now, context, report)
            if done:
                return report
        raise Moved(f"{subscription} is being changed by other processes; try again")

    async def _advance(
        self, where: Sequence[Condition], limit: int, now: Now, context: Context, report: RunReport
    ) -> tuple[list[SubscriptionRow], bool]:
        """All that is due to the first of these subscriptions; False: another process was first with one, and nothing
        is done."""
        outcomes: list[Outcome] = []
        table = schema.subscriptions.c
        async with self.billing.read(PLATFORM) as books:
            rows = await books.find(SubscriptionRow, *where, order=(table.next_us, table.id), limit=limit)
            accounts = await load_accounts(books, rows)
            await foresee(books, accounts, now.us, context)
            for account in accounts:
                outcomes.append(await _settled(books, account, now, context, report))
        try:
            await self.write([outcome for outcome in outcomes if outcome.replaced], context)
        except (Moved, Conflict) as error:
            report.moved += 1
            logger.info("another process was first", extra={"error": str(error), "subscriptions": len(rows)})
            return rows, False
        report.final += [invoice for outcome in outcomes for _, invoice in outcome.final]
        report.drafts += sum(_is_draft(row) for outcome in outcomes for row in outcome.added)
        return rows, True


async def _settled(books: Books, account: Account, now: Now, context: Context, report: RunReport) -> Outcome:
    """Everything that is due to one subscription, step by step; what cannot be done is told, and tried again."""
    outcome, id = Outcome(), account.row.id
    try:
        while (step := next_step(account, now.us, context)) is not None:
            made, account = await take_step(books, account, step, now, context)
            outcome.then(made)
        if account.row.next_us <= now.us:
            outcome.then(rest(account, now, context))
    except StoreUnavailable:
        raise
    except FAULTS as error:
        logger.exception("a subscription cannot be billed", extra={"subscription": id})
        report.failed[id] = str(error)
    return outcome


def _is_draft(row: object) -> bool:
    return isinstance(row, InvoiceRow) and row.state == "draft"
