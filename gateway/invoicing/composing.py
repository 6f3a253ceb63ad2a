"""From items to an invoice: preview, draft, final invoice and `verify` are this one function."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.billing.credit import Grant
from gateway.billing.invoice import Draft, Reason, compose
from gateway.billing.items import Charged, Item, UsageItem, lines_of
from gateway.billing.pricing.model import Step
from gateway.billing.tax import TaxRules
from gateway.invoicing.codec import (
    Json,
    grant_from_json,
    grant_to_json,
    item_from_json,
    item_to_json,
    rules_from_json,
    rules_to_json,
)
from gateway.money import Money, plain
from gateway.period import Period, from_us, to_us
from gateway.storage.billing_values import CreditRow, InvoiceRow, LineRow


@dataclass(frozen=True, slots=True)
class Inputs:
    """All that decides an invoice."""

    tenant: str
    subscription: str
    reason: Reason
    period: Period
    currency: str
    items: tuple[Item, ...]
    rules: TaxRules
    grants: tuple[Grant, ...]
    at_us: int
    watermark: int


@dataclass(frozen=True, slots=True)
class Composed:
    """An invoice that is not in the books yet."""

    inputs: Inputs
    draft: Draft
    charged: tuple[Charged, ...]

    @property
    def amounts(self) -> dict[str, str]:
        """The columns of its totals: what credits took, and what is due after them."""
        totals = self.draft.totals
        return {
            "subtotal": plain(totals.subtotal.amount),
            "credited": plain(totals.credited.amount),
            "tax": plain(totals.tax.amount),
            "total": plain(totals.total.amount),
        }

    def document(self, people: Mapping[str, Any]) -> Json:
        """What is stored beside the invoice; ``people`` are seller and customer as they were."""
        inputs, totals = self.inputs, self.draft.totals
        return {
            "items": [item_to_json(item) for item in inputs.items],
            "rules": rules_to_json(inputs.rules),
            "grants": [grant_to_json(grant) for grant in inputs.grants],
            "at": inputs.at_us,
            "taxes": [
                {"name": line.rate.name, "percent": plain(line.rate.percent), "base": line.base.to_json(),
                 "amount": line.amount.to_json()}
                for line in totals.taxes
            ],
            "draws": [{"credit": draw.grant, "amount": draw.amount.to_json()} for draw in totals.draws],
            **people,
        }  # fmt: skip

    def lines(self, invoice: str) -> list[LineRow]:
        """The rows of its lines."""
        tenant, subscription = self.inputs.tenant, self.inputs.subscription
        return [line_row(invoice, place, tenant, subscription, one) for place, one in enumerate(self.charged, 1)]


def line_row(invoice: str, place: int, tenant: str, subscription: str, one: Charged) -> LineRow:
    """The row of a line."""
    line = one.line
    return LineRow(
        invoice=invoice,
        place=place,
        tenant=tenant,
        subscription=subscription,
        charge=one.charge,
        kind=line.kind,
        description=line.description,
        meter=line.meter if line.kind in ("usage", "correction") else "",
        quantity=plain(line.quantity),
        exact=plain(line.exact),
        amount=plain(line.amount.amount),
        start_us=None if line.period is None else to_us(line.period.start),
        end_us=None if line.period is None else to_us(line.period.end),
        steps=[step_to_json(step) for step in line.steps],
    )


def step_to_json(step: Step) -> Json:
    """A summand of a line in plain types."""
    return {
        "kind": step.kind,
        "quantity": plain(step.quantity),
        "unit": plain(step.unit),
        "amount": plain(step.amount),
        "above": None if step.first is None else plain(step.first),
        "up_to": None if step.up_to is None else plain(step.up_to),
        "size": None if step.size is None else plain(step.size),
    }


def compose_invoice(inputs: Inputs) -> Composed:
    """The invoice of its inputs: the same inputs, the same invoice."""
    charged = tuple(one for item in inputs.items for one in lines_of(item))
    draft = compose(
        inputs.tenant,
        inputs.subscription,
        inputs.reason,
        inputs.period,
        [one.line for one in charged],
        inputs.currency,
        versions=sorted({item.plan.version for item in inputs.items if isinstance(item, UsageItem)}),
        rules=inputs.rules,
        grants=inputs.grants,
        at=from_us(inputs.at_us),
        watermark=inputs.watermark,
    )
    return Composed(inputs, draft, charged)


def inputs_of(invoice: InvoiceRow) -> Inputs:
    """What decided a stored invoice."""
    document = invoice.document
    return Inputs(
        tenant=invoice.tenant,
        subscription=invoice.subscription,
        reason=invoice.reason,  # type: ignore[arg-type]
        period=Period(from_us(invoice.start_us), from_us(invoice.end_us)),
        currency=invoice.currency,
        items=tuple(item_from_json(item) for item in document["items"]),
        rules=rules_from_json(document["rules"]),
        grants=tuple(grant_from_json(grant) for grant in document["grants"]),
        at_us=document["at"],
        watermark=invoice.watermark,
    )


def grants_of(credits: Sequence[CreditRow], currency: str) -> tuple[Grant, ...]:
    """The credits of a currency that have something left."""
    found = [
        Grant(
            row.id,
            Money.of(row.remaining, row.currency),
            from_us(row.created_us),
            row.priority,
            None if row.expires_us is None else from_us(row.expires_us),
        )
        for row in credits
        if row.currency == currency
    ]
    return tuple(grant for grant in found if grant.remaining.amount > 0)
