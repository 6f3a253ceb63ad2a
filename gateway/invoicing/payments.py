"""Money for invoices: recorded by hand, announced by who owes and confirmed by who is owed, or moved by a provider."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal

from gateway.billing.invoice import InvoiceState, InvoiceTrigger, invoice_transition
from gateway.billing.payment import PaymentState, PaymentTrigger, payment_transition
from gateway.ids import new_id
from gateway.invoicing.account import Account
from gateway.invoicing.desk import Desk
from gateway.invoicing.loading import load_account
from gateway.invoicing.office import InvoiceError, NotFound
from gateway.invoicing.outcome import Outcome
from gateway.invoicing.steps import Now
from gateway.money import EXACT, ZERO, Money, exponent, plain, round_amount
from gateway.payments.manual import MANUAL
from gateway.payments.ports import Attempt, Customer, Demand
from gateway.storage import billing_schema as schema
from gateway.storage.billing import Books
from gateway.storage.billing_values import CreditRow, InvoiceRow, PaymentRow
from gateway.storage.ports import PLATFORM, Scope
from gateway.storage.values import AuditEntry

REFUND = "refund"


@dataclass(frozen=True, slots=True)
class Announced:
    """A payment that was asked for, and how to make it."""

    invoice: InvoiceRow
    payment: PaymentRow
    instructions: tuple[str, ...]


def remaining(invoice: InvoiceRow) -> Decimal:
    """What is still owed."""
    return max(ZERO, EXACT.subtract(Decimal(invoice.total), Decimal(invoice.paid)))


class PaymentDesk(Desk):
    """Money that comes in, and credit that is given."""

    async def pay(
        self,
        invoice: str,
        actor: str,
        *,
        amount: Decimal | None = None,
        reference: str = "",
        provider: str = MANUAL,
        credit_excess: bool = False,
    ) -> InvoiceRow:
        """Record money that came in: all that is owed, or a part. The same reference twice is one payment.

        More than is owed is refused, unless ``credit_excess`` makes the rest a credit. A tenant suspended for debt is
        served again as soon as nothing is overdue.
        """
        now = Now(self.clock.now(), actor)
        context = await self.context(now.us)
        async with self.billing.read(PLATFORM) as books:
            row = await self.find(books, invoice)
            told = await _told(books, row, provider, reference)
            if told is None:
                outcome = Outcome()
                paid = remaining(row) if amount is None else amount
                made = _receive(outcome, row, paid, now, credit_excess)
                id = new_id("pay", now.us)
                payment = PaymentRow(
                    id, row.tenant, row.id, provider, reference or id, plain(paid), row.currency, now.us, actor,
                    settled_us=now.us, settled_by=actor,
                )  # fmt: skip
                outcome.added.append(payment)
                outcome.audits.append(_entry(payment, "invoice.pay", now))
                look_again(outcome, await account_of(books, row), now)
        if told is not None:
            return await self._told_again(told, row, amount, actor, credit_excess)
        await self.write([outcome], context)
        await self.advance(row.subscription, actor, now.us)
        return made

    async def announce(
        self,
        scope: Scope,
        invoice: str,
        actor: str,
        *,
        amount: Decimal | None = None,
        reference: str = "",
        provider: str = MANUAL,
    ) -> Announced:
        """Ask the provider for money that is owed. By hand, it is pending until ``confirm``: nobody settles own debt.

        The same reference, or none while such a payment is pending, is the same payment.
        """
        now = Now(self.clock.now(), actor)
        context = await self.context(now.us)
        async with self.billing.read(scope) as books:
            row = await self.find(books, invoice)
            table = schema.payments.c
            pending = await books.find(PaymentRow, table.invoice == row.id, table.status == PaymentState.PENDING)
            waiting = [one for one in pending if one.kind != REFUND]
            payment = await _told(books, row, provider, reference) if reference else _unnamed(waiting)
        if payment is not None and amount is not None and Decimal(payment.amount) != amount:
            raise InvoiceError(f"{payment.amount} {payment.currency} were announced before, by the same reference")
        if payment is None:
            left = remaining(row)
            for one in waiting:
                left = EXACT.subtract(left, Decimal(one.amount))
            asked = left if amount is None else amount
            _check_state(row)
            _check_amount(asked, left, row)
            id = new_id("pay", now.us)
            payment = PaymentRow(
                id, row.tenant, row.id, provider, reference or id, plain(asked), row.currency, now.us, actor,
                status=PaymentState.PENDING,
            )  # fmt: skip
            outcome = Outcome(replaced=[(row, row)], added=[payment])  # two at once would announce more than is owed
            outcome.audits.append(_entry(payment, "payment.announce", now))
            await self.write([outcome], context)
        return await self._asked(row, payment)

    async def how_to_pay(self, row: InvoiceRow, provider: str = MANUAL) -> tuple[str, ...]:
        """Words for who owes."""
        setup = await self.providers[provider].begin_setup(customer_of(row))
        return (*setup.instructions, f"Reference: {row.number}")

    async def confirm(
        self, payment: str, actor: str, *, amount: Decimal | None = None, credit_excess: bool = False
    ) -> tuple[PaymentRow, InvoiceRow]:
        """A pending payment came in, or a pending refund went out. ``amount``: what really came, where it differs."""
        return await self._settle(payment, PaymentTrigger.CONFIRM, actor, amount, credit_excess=credit_excess)

    async def reject(self, payment: str, actor: str, *, reason: str = "") -> tuple[PaymentRow, InvoiceRow]:
        """A pending payment will not come; a refund that cannot go out becomes credit."""
        return await self._settle(payment, PaymentTrigger.REJECT, actor, None, reason=reason)

    async def notified(self, provider: str, headers: Mapping[str, str], body: bytes) -> PaymentRow | None:
        """Take in what a provider tells; None if the books know it already. Raises ``NotificationRefused``."""
        attempt = self.providers[provider].parse_notification(headers, body)
        async with self.billing.read(PLATFORM) as books:
            payment = await self.find_payment(books, attempt.key)
        if payment.provider != provider:
            raise NotFound(f"there is no payment {attempt.key} by {provider}")
        return await self._heard(payment, attempt)

    async def payments(self, scope: Scope, invoice: str) -> list[PaymentRow]:
        """What came in, was announced or went back for an invoice, oldest first."""
        async with self.billing.read(scope) as books:
            row = await self.find(books, invoice)
            table = schema.payments.c
            return await books.find(PaymentRow, table.invoice == row.id, order=(table.at_us, table.id))

    async def all_payments(
        self, scope: Scope, *, status: str = "", limit: int = 50, after: str | None = None
    ) -> list[PaymentRow]:
        """Payments, newest first; ``after`` is the id of the last one seen."""
        table = schema.payments.c
        where = [table.id < after] if after else []
        where += [table.status == status] if status else []
        async with self.billing.read(scope) as books:
            return await books.find(PaymentRow, *where, order=(table.id.desc(),), limit=limit)

    async def find_payment(self, books: Books, id: str) -> PaymentRow:
        """A payment; raises ``NotFound``."""
        found = await books.one(PaymentRow, schema.payments.c.id == id)
        if found is None:
            raise NotFound(f"there is no payment {id}")
        return found

    async def credits(self, scope: Scope, tenant: str) -> list[CreditRow]:
        """A tenant's credits, oldest first."""
        async with self.billing.read(scope) as books:
            return await books.find(CreditRow, schema.credits.c.tenant == tenant, order=(schema.credits.c.id,))

    async def grant(self, tenant: str, amount: Decimal, currency: str, actor: str, reason: str) -> CreditRow:
        """Give a tenant credit, which its next invoices use up."""
        now_us = self.clock.now()
        if amount <= 0 or amount != round_amount(amount, currency):
            raise InvoiceError(f"a credit is above zero and has at most {exponent(currency)} decimals")
        row = CreditRow(
            new_id("crd", now_us), tenant, currency, plain(amount), plain(amount), 0, now_us, None, f"given: {reason}"
        )
        detail = {"amount": row.amount, "currency": currency, "reason": reason}
        async with self.billing.write(PLATFORM) as books:
            if await books.tenant(tenant) is None:
                raise InvoiceError(f"there is no tenant {tenant}")
            await books.add([row])
            await books.audit([AuditEntry(now_us, actor, "credit.grant", row.id, tenant, detail)])
        return row

    async def _told_again(
        self, told: PaymentRow, row: InvoiceRow, amount: Decimal | None, actor: str, credit_excess: bool
    ) -> InvoiceRow:
        """A reference that the books know: the payment that was announced with it came in, or it is told twice."""
        if told.status == PaymentState.PENDING:
            return (await self.confirm(told.id, actor, amount=amount, credit_excess=credit_excess))[1]
        if told.status == PaymentState.REJECTED:
            raise InvoiceError(f"{told.reference} was rejected before: record it with another reference")
        if amount is not None and Decimal(told.amount) != amount:
            raise InvoiceError(f"{told.reference} was recorded before, with {told.amount} {told.currency}")
        return row

    async def _asked(self, row: InvoiceRow, payment: PaymentRow) -> Announced:
        """Ask the provider, by the payment's id, and take in what it says."""
        if payment.status != PaymentState.PENDING:
            return Announced(row, payment, ())
        attempt = await self.providers[payment.provider].charge(demand_of(row, payment))
        settled = await self._heard(payment, attempt)
        if settled is None:
            return Announced(row, payment, attempt.instructions)
        async with self.billing.read(PLATFORM) as books:
            return Announced(await self.find(books, row.id), settled, attempt.instructions)

    async def _heard(self, payment: PaymentRow, attempt: Attempt, actor: str = "") -> PaymentRow | None:
        """Settle a pending payment as its provider says; None when there is nothing to do."""
        if payment.status != PaymentState.PENDING or attempt.state is PaymentState.PENDING:
            return None
        came = attempt.state is PaymentState.SUCCEEDED
        trigger = PaymentTrigger.CONFIRM if came else PaymentTrigger.REJECT
        amount, actor = attempt.amount.amount, actor or f"provider {payment.provider}"
        # Money that a provider took is never refused: what nobody owes any more is credit.
        settled = await self._settle(
            payment.id, trigger, actor, amount if came else None, credit_excess=True, reason=attempt.reason
        )
        return settled[0]

    async def _settle(
        self,
        id: str,
        trigger: PaymentTrigger,
        actor: str,
        amount: Decimal | None,
        *,
        credit_excess: bool = False,
        reason: str = "",
    ) -> tuple[PaymentRow, InvoiceRow]:
        now = Now(self.clock.now(), actor)
        context = await self.context(now.us)
        async with self.billing.read(PLATFORM) as books:
            old = await self.find_payment(books, id)
            row = made = await self.find(books, old.invoice)
            state = payment_transition(PaymentState(old.status), trigger)
            came = Decimal(old.amount) if amount is None else amount
            outcome = Outcome()
            new = replace(old, status=state, amount=plain(came), settled_us=now.us, settled_by=actor, note=reason)
            if old.kind == REFUND and came != Decimal(old.amount):
                raise InvoiceError(f"the refund is {old.amount} {old.currency}")
            if old.kind == REFUND and trigger is PaymentTrigger.REJECT:
                outcome.added.append(credit_row(row, came, f"refund of {row.number} that failed", now))
            elif old.kind != REFUND and trigger is PaymentTrigger.CONFIRM:
                made = _receive(outcome, row, came, now, credit_excess)
            outcome.settled.append(new)
            outcome.audits.append(_entry(new, f"payment.{trigger}", now, before=old.status, announced=old.amount))
            look_again(outcome, await account_of(books, row), now)
        await self.write([outcome], context)
        await self.advance(row.subscription, actor, now.us)
        return new, made


async def account_of(books: Books, row: InvoiceRow) -> Account:
    """The account that an invoice belongs to."""
    account = await load_account(books, row.subscription)
    assert account is not None, row.subscription
    return account


def demand_of(row: InvoiceRow, payment: PaymentRow) -> Demand:
    """What a provider is asked for."""
    amount = Money.of(payment.amount, payment.currency)
    return Demand(payment.id, customer_of(row), row.number or row.id, amount)


def customer_of(row: InvoiceRow) -> Customer:
    """Who pays an invoice, as it names them."""
    return Customer(row.tenant, row.document["customer"]["name"])


def take_off(outcome: Outcome, row: InvoiceRow, paid: Decimal, now: Now) -> InvoiceRow:
    """Take an amount off what is owed; when nothing is left, the invoice is paid."""
    made = replace(row, paid=plain(EXACT.add(Decimal(row.paid), paid)))
    if not remaining(made):
        made = replace(made, state=invoice_transition(InvoiceState(row.state), InvoiceTrigger.PAY), closed_us=now.us)
    outcome.replaced.append((row, made))
    return made


def credit_row(row: InvoiceRow, amount: Decimal, source: str, now: Now) -> CreditRow:
    """Money that an invoice's tenant may still use."""
    text = plain(amount)
    return CreditRow(new_id("crd", now.us), row.tenant, row.currency, text, text, 0, now.us, None, source)


def look_again(outcome: Outcome, account: Account, now: Now) -> None:
    """Let the subscription follow what its invoices say."""
    outcome.replaced.append((account.row, replace(account.row, next_us=now.us)))


def _receive(outcome: Outcome, row: InvoiceRow, paid: Decimal, now: Now, credit_excess: bool) -> InvoiceRow:
    """What money that came in changes; what is beyond the debt is refused or becomes credit."""
    owed = remaining(row) if row.state in ("open", "uncollectible") else ZERO
    if not credit_excess:
        _check_state(row)
        _check_amount(paid, owed, row)
    elif row.state == "draft" or paid <= 0 or paid != round_amount(paid, row.currency):
        raise InvoiceError(f"an amount above zero with at most {exponent(row.currency)} decimals, for a final invoice")
    if excess := max(ZERO, EXACT.subtract(paid, owed)):
        outcome.added.append(credit_row(row, excess, f"paid beyond {row.number}", now))
    return take_off(outcome, row, min(paid, owed), now) if owed else row


def _check_state(row: InvoiceRow) -> None:
    if row.state not in ("open", "uncollectible"):
        raise InvoiceError(f"{row.number or row.id} is {row.state}: nothing is owed for it")


def _check_amount(paid: Decimal, left: Decimal, row: InvoiceRow) -> None:
    if paid <= 0 or paid > left:
        raise InvoiceError(f"{plain(left)} {row.currency} are owed for {row.number}, not {plain(paid)}")
    if paid != round_amount(paid, row.currency):
        raise InvoiceError(f"{row.currency} has {exponent(row.currency)} decimals")


def _unnamed(waiting: list[PaymentRow]) -> PaymentRow | None:
    return next((one for one in waiting if one.reference == one.id), None)


async def _told(books: Books, row: InvoiceRow, provider: str, reference: str) -> PaymentRow | None:
    table = schema.payments.c
    where = (table.invoice == row.id, table.provider == provider, table.reference == reference)
    return await books.one(PaymentRow, *where) if reference else None


def _entry(payment: PaymentRow, action: str, now: Now, **more: str) -> AuditEntry:
    detail = {"payment": payment.id, "amount": payment.amount, "currency": payment.currency}
    detail |= {"reference": payment.reference, "status": str(payment.status), **more}
    if payment.note:
        detail["reason"] = payment.note
    return AuditEntry(now.us, now.actor, action, payment.invoice, payment.tenant, detail)
