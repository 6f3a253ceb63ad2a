"""What a step changes in the books, decided before anything is written, and written as a whole or not at all."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from gateway.billing.numbering import format_number
from gateway.period import from_us
from gateway.storage import billing_schema as schema
from gateway.storage.billing import Books
from gateway.storage.billing_rows import Moved, columns_of
from gateway.storage.billing_values import (
    CreditRow,
    InvoiceRow,
    LineRow,
    PaymentRow,
    PendingRow,
    PhaseRow,
    SubscriptionRow,
)
from gateway.storage.values import AuditEntry

Fault = Callable[[str], None]
"""Called between the writes of a transaction with the name of the place; crash tests make it raise or kill."""


def no_fault(place: str) -> None:
    """Nothing goes wrong."""


@dataclass
class Outcome:
    """Changes, in the words of the books. ``final`` invoices get their numbers when written.

    A row in ``replaced`` or a credit in ``drawn`` that another process changed meanwhile raises ``Moved``.
    """

    replaced: list[tuple[Any, Any]] = field(default_factory=list)
    added: list[Any] = field(default_factory=list)
    final: list[tuple[InvoiceRow | None, InvoiceRow]] = field(default_factory=list)
    redrawn: list[str] = field(default_factory=list)
    rephased: list[PhaseRow] = field(default_factory=list)
    drawn: list[tuple[CreditRow, str]] = field(default_factory=list)
    claimed: list[tuple[str, str]] = field(default_factory=list)
    released: list[str] = field(default_factory=list)
    settled: list[PaymentRow] = field(default_factory=list)
    audits: list[AuditEntry] = field(default_factory=list)
    tenants: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def then(self, later: "Outcome") -> None:
        """Add what follows: a row that is replaced again is replaced once, by what it comes to."""
        for old, new in later.replaced:
            for place, (first, last) in enumerate(self.replaced):
                if last is old:
                    self.replaced[place] = (first, new)
                    break
            else:
                self.replaced.append((old, new))
        for name in (
            "added",
            "final",
            "redrawn",
            "rephased",
            "drawn",
            "claimed",
            "released",
            "settled",
            "audits",
            "tenants",
        ):
            getattr(self, name).extend(getattr(later, name))


async def write_outcomes(books: Books, outcomes: Sequence[Outcome], prefix: str, fault: Fault = no_fault) -> None:
    """Write all of them in the caller's transaction; raises ``Moved`` or ``Conflict``, and then nothing is."""
    await books.replace_all(pair for outcome in outcomes for pair in outcome.replaced)
    fault("subscriptions moved")
    await _number(books, outcomes, prefix)
    fault("numbers taken")
    if redrawn := [invoice for outcome in outcomes for invoice in outcome.redrawn]:
        await books.delete(LineRow, schema.invoice_lines.c.invoice.in_(redrawn))
    for outcome in outcomes:
        for phase in outcome.rephased:  # one of the same instant, by which nothing was served
            of_it = (schema.subscription_phases.c.subscription == phase.subscription,)
            await books.delete(PhaseRow, *of_it, schema.subscription_phases.c.start_us == phase.start_us)
    await books.add([row for outcome in outcomes for row in outcome.added])
    fault("rows added")
    for outcome in outcomes:
        await _settle(books, outcome)
    fault("credits drawn")
    await books.audit(entry for outcome in outcomes for entry in outcome.audits)
    await books.set_tenants([changed for outcome in outcomes for changed in outcome.tenants])
    fault("before commit")


async def _number(books: Books, outcomes: Sequence[Outcome], prefix: str) -> None:
    """Give the numbers (SEMANTICS §36): in this transaction, so that a failure leaves no gap."""
    count = sum(len(outcome.final) for outcome in outcomes)
    if not count:
        return
    sequence = await books.take_numbers(prefix, count)
    drafts: list[tuple[InvoiceRow, InvoiceRow]] = []
    for outcome in outcomes:
        for place, (old, new) in enumerate(outcome.final):
            given = replace(new, series=prefix, sequence=sequence, number=format_number(prefix, sequence))
            sequence += 1
            outcome.final[place] = (old, given)
            if old is None:
                outcome.added.append(given)
            else:
                drafts.append((old, given))
    await books.replace_all(drafts)


async def _settle(books: Books, outcome: Outcome) -> None:
    for credit, remaining in outcome.drawn:
        unchanged = (schema.credits.c.id == credit.id, schema.credits.c.remaining == credit.remaining)
        if await books.set(CreditRow, {"remaining": remaining}, *unchanged) != 1:
            raise Moved(f"credit {credit.id} was used by another process; try again")
    for pending, invoice in outcome.claimed:
        waiting = (schema.pending_items.c.id == pending, schema.pending_items.c.invoice.is_(None))
        if await books.set(PendingRow, {"invoice": invoice}, *waiting) != 1:
            raise Moved(f"{pending} was taken by another process; try again")
    for payment in outcome.settled:
        values = {name: getattr(payment, name) for name in ("status", "amount", "settled_us", "settled_by", "note")}
        still = (schema.payments.c.id == payment.id, schema.payments.c.status == "pending")
        if await books.set(PaymentRow, values, *still) != 1:
            raise Moved(f"{payment.id} was settled by another process; try again")
    for pending in outcome.released:
        await books.set(PendingRow, {"invoice": None}, schema.pending_items.c.id == pending)


def changes_of(old: SubscriptionRow, new: SubscriptionRow) -> dict[str, str]:
    """Every field that changed, ``before -> after``: what the audit log keeps."""
    before, after = columns_of(old), columns_of(new)
    quiet = {"next_us", "revision"}
    changed = [name for name in after if name not in quiet and before[name] != after[name]]
    return {name: f"{_text(name, before[name])} -> {_text(name, after[name])}" for name in changed}


def _text(name: str, value: object) -> str:
    if value is None:
        return "-"
    return from_us(value).isoformat() if name.endswith("_us") and isinstance(value, int) else str(value)
