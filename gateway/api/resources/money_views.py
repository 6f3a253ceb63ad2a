"""How payments, credit notes and credits are asked for and shown."""

from decimal import Decimal

from pydantic import Field

from gateway.api.resources.billing_views import (
    Amount,
    CreditNoteView,
    InvoiceView,
    PaymentStatus,
    PaymentView,
    Reference,
)
from gateway.api.values import Listed, Model, Money, Name, PageQuery, Time, time_text
from gateway.storage.billing_values import CreditRow, InvoiceRow, PaymentRow


class PaymentList(Listed[PaymentView]):
    """Payments, newest first."""


class PaymentQuery(PageQuery):
    """Payments in one state."""

    status: PaymentStatus | None = None


class PaidInvoice(InvoiceView):
    """The invoice after a payment was recorded (``succeeded``) or announced (``pending``), and how to make it then."""

    status: PaymentStatus
    payment: PaymentView | None
    instructions: list[str]

    @classmethod
    def with_payment(cls, row: InvoiceRow, payment: PaymentRow | None, instructions: tuple[str, ...]) -> "PaidInvoice":
        shown = None if payment is None else PaymentView.of(payment)
        fields = {name: getattr(InvoiceView.of(row), name) for name in InvoiceView.model_fields}
        status = shown.status if shown else "succeeded"
        return cls(**fields, status=status, payment=shown, instructions=list(instructions))


class SettledPayment(Model):
    """A payment once it is settled, and its invoice."""

    payment: PaymentView
    invoice: InvoiceView


class PayRequest(Model):
    """All that is owed (null), or a part. The same ``reference`` twice is one payment.

    From the operator: money that came in; with ``credit_excess`` what is beyond the debt becomes credit. From who owes:
    an announcement.
    """

    amount: Amount | None = None
    reference: Reference = ""
    credit_excess: bool = False


class ConfirmRequest(Model):
    """What really came in, where it differs from what was announced."""

    amount: Amount | None = None
    credit_excess: bool = False


class RejectRequest(Model):
    """Why; who announced it reads that."""

    reason: Reference = ""


class CreditNoteList(Listed[CreditNoteView]):
    """Credit notes, newest first."""


class CreditView(Model):
    """Money that a tenant may still use; ``source`` says where it comes from."""

    id: str
    tenant: str
    amount: Money
    remaining: Money
    source: str
    created_at: Time

    @classmethod
    def of(cls, row: CreditRow) -> "CreditView":
        amount, left = (Money.of(Decimal(one), row.currency) for one in (row.amount, row.remaining))
        return cls(
            id=row.id, tenant=row.tenant, amount=amount, remaining=left, source=row.source,
            created_at=time_text(row.created_us),
        )  # fmt: skip


class CreditList(Listed[CreditView]):
    """All credits of a tenant, oldest first."""


class CreditRequest(Model):
    """Credit to be given, and why."""

    amount: Amount
    currency: str = Field(pattern="^[A-Z]{3}$")
    reason: Name


class CreditNoteRequest(Model):
    """How much to give back, tax included (null: all that is left), and why.

    What was paid already becomes credit, or with ``refund`` goes back; ``reference`` is that of the transfer.
    """

    amount: Amount | None = None
    reason: Name
    refund: bool = False
    reference: Reference = ""
