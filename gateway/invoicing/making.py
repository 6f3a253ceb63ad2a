"""Putting a composed invoice into an outcome: as a draft, refreshed, or final with all that follows from it."""

from dataclasses import dataclass, replace
from decimal import Decimal

from gateway.billing.invoice import InvoiceState, invoice_transition
from gateway.ids import new_id
from gateway.invoicing.account import Account
from gateway.invoicing.codec import Json
from gateway.invoicing.composing import Composed
from gateway.invoicing.outcome import Outcome
from gateway.invoicing.settings import BillingSettings
from gateway.money import EXACT, plain
from gateway.period import to_us
from gateway.storage.billing_values import CreditRow, DrawRow, InvoiceRow
from gateway.storage.values import AuditEntry


@dataclass(frozen=True, slots=True)
class Making:
    """By whom and when an invoice is made, and how it is to be kept."""

    settings: BillingSettings
    now_us: int
    actor: str
    finalize_us: int
    """From when on it is final; a draft until then."""

    replaces: str | None = None

    @property
    def final(self) -> bool:
        return self.finalize_us <= self.now_us


def put_invoice(
    outcome: Outcome, account: Account, composed: Composed, old: InvoiceRow | None, how: Making
) -> InvoiceRow:
    """Add the invoice to ``outcome``; ``old`` is the draft that it refreshes. Returns its row, still without number."""
    inputs = composed.inputs
    row = InvoiceRow(
        id=old.id if old else new_id("inv", how.now_us),
        tenant=inputs.tenant,
        subscription=inputs.subscription,
        reason=inputs.reason,
        state=InvoiceState.DRAFT,
        series=None,
        sequence=None,
        number=None,
        start_us=to_us(inputs.period.start),
        end_us=to_us(inputs.period.end),
        currency=inputs.currency,
        **composed.amounts,
        paid="0",
        watermark=inputs.watermark,
        document=composed.document(people(account, how.settings)),
        created_us=old.created_us if old else how.now_us,
        finalize_us=how.finalize_us,
        finalized_us=None,
        due_us=None,
        closed_us=None,
        replaces=old.replaces if old else how.replaces,
        replaced_by=None,
        revision=old.revision if old else 0,
    )
    if old is not None:
        outcome.redrawn.append(old.id)
    outcome.added += composed.lines(row.id)
    if how.final:
        return _finalize(outcome, account, composed, old, row, how)
    if old is None:
        outcome.added.append(row)
        outcome.audits.append(_entry(row, "invoice.draft", how))
    else:
        outcome.replaced.append((old, row))
    return row


def _finalize(
    outcome: Outcome, account: Account, composed: Composed, old: InvoiceRow | None, row: InvoiceRow, how: Making
) -> InvoiceRow:
    draft = composed.draft
    state = invoice_transition(InvoiceState.DRAFT, draft.finalizing)
    paid = state is InvoiceState.PAID
    final = replace(
        row,
        state=state,
        finalized_us=how.now_us,
        due_us=how.now_us + how.settings.due_us,
        closed_us=how.now_us if paid else None,
    )
    outcome.final.append((old, final))
    outcome.audits.append(_entry(final, "invoice.finalize", how))
    outcome.claimed += [(pending.id, row.id) for pending in account.pending if row.reason == "cycle"]
    credits = {credit.id: credit for credit in account.credits}
    for draw in draft.totals.draws:
        credit = credits[draw.grant]
        left = EXACT.subtract(Decimal(credit.remaining), draw.amount.amount)
        outcome.drawn.append((credit, plain(left)))
        outcome.added.append(DrawRow(row.id, draw.grant, row.tenant, plain(draw.amount.amount)))
    carried = draft.totals.carried
    if carried.amount:
        amount = plain(carried.amount)
        source = f"carried from {row.id}"
        outcome.added.append(
            CreditRow(new_id("crd", how.now_us), row.tenant, row.currency, amount, amount, 0, how.now_us, None, source)
        )
    return final


def people(account: Account, settings: BillingSettings) -> Json:
    """Seller and customer as they are now: an invoice keeps them for ever."""
    terms = settings.terms(account.row.tenant)
    customer = {"id": account.row.tenant, "name": account.tenant.name, "tax_id": terms.tax_id}
    return {
        "seller": settings.seller,
        "customer": customer,
        "timezone": account.row.timezone,
        "locale": account.tenant.locale,
    }


def _entry(row: InvoiceRow, action: str, how: Making) -> AuditEntry:
    detail = {"reason": row.reason, "total": row.total, "currency": row.currency}
    return AuditEntry(how.now_us, how.actor, action, row.id, tenant=row.tenant, detail=detail)
