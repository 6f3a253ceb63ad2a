"""``/portal/plan`` and beside the operator: the subscription, the plans there are, and what a change would cost."""

from typing import cast
from urllib.parse import quote

from aiohttp import web

from gateway.billing.change import When
from gateway.config.catalog import catalog, plan_prices
from gateway.config.snapshot import Snapshot
from gateway.invoicing.changing import Target
from gateway.invoicing.office import InvoiceError, NotFound
from gateway.storage.billing_rows import Moved
from gateway.storage.billing_values import CreditRow, SubscriptionRow
from gateway.storage.ports import Scope
from gateway.tenants.model import Tenant
from gateway.ui.finding import any_tenant, own_tenant
from gateway.ui.guard import Visit, may, see_other
from gateway.ui.invoice_pages import amount_of, words_of
from gateway.ui.invoice_reading import padded, preview_lines
from gateway.ui.keys import SERVICES
from gateway.ui.limits import window_words
from gateway.ui.money_contexts import ChangePreview, CreditLine, PlanOffer, PlanView
from gateway.ui.price_words import price_words
from gateway.ui.rendering import render

MAX_CREDITS = 20
WHENS = ("now", "next_invoice", "period_end")
NOTICES = {"change": "The plan is changed.", "cancel": "The subscription ends with the period that is paid.",
           "keep": "The subscription goes on as before.", "pause": "The subscription is paused: calls are refused.",
           "resume": "The subscription goes on: calls pass again.", "end": "The subscription is over.",
           "credit": "The credit is given; the next invoices use it up."}  # fmt: skip


async def portal_plan(request: web.Request, visit: Visit) -> web.StreamResponse:
    """``/portal/plan``."""
    return await _page(request, visit, await own_tenant(request, visit))


async def portal_act(request: web.Request, visit: Visit) -> web.StreamResponse:
    """``POST /portal/plan/{action}``."""
    return await _act(request, visit, await own_tenant(request, visit))


async def admin_plan(request: web.Request, visit: Visit) -> web.StreamResponse:
    """``/admin/tenants/{id}/plan``."""
    return await _page(request, visit, await any_tenant(request))


async def admin_act(request: web.Request, visit: Visit) -> web.StreamResponse:
    """``POST /admin/tenants/{id}/plan/{action}``."""
    return await _act(request, visit, await any_tenant(request))


async def _page(
    request: web.Request, visit: Visit, tenant: Tenant, *, error: str = "", status: int = 200
) -> web.Response:
    services = request.app[SERVICES]
    snapshot, scope = services.snapshot(), Scope(tenant.id)
    try:
        row: SubscriptionRow | None = await services.billing.subscription(scope, tenant.id)
    except NotFound:
        row = None
    preview = None
    if row is not None and may(visit.user, "subscription", "preview") and request.query.get("plan"):
        try:
            preview = await _preview(request, tenant)
        except InvoiceError as refusal:
            error = error or str(refusal)
    offers = _offers(snapshot, tenant, row)
    page = PlanView(
        base=_base(visit, tenant),
        subscription=row,
        plan=tenant.plan,
        offers=offers,
        preview=preview,
        may_preview=may(visit.user, "subscription", "preview"),
        may_write=may(visit.user, "subscription", "write") and tenant.status != "closed",
        managed=services.managed_by(("tenants", tenant.id, "plan")) if tenant.source == "yaml" else "",
        credits=tuple(_credit(one) for one in reversed(await services.billing.credits(scope, tenant.id)))[:MAX_CREDITS],
        currency=next((offer.currency for offer in offers if offer.name == tenant.plan), ""),
        error=error,
        notice=NOTICES.get(request.query.get("done", ""), ""),
    )
    title = "Plan" if visit.user.tenant else f"Plan of {tenant.name}"
    return render(request, visit, "plan.html", page, title, tenant=tenant, status=status)


async def _preview(request: web.Request, tenant: Tenant) -> ChangePreview:
    """What the change asked for in the address costs, by the function that does it."""
    target, when = _target(request.query.get("plan", ""), request.query.get("cycle", "")), _when(request.query)
    found = await request.app[SERVICES].billing.preview_change(Scope(tenant.id), tenant.id, target, when)
    composed = found.composed
    lines, taxes = preview_lines(composed) if composed else ((), ())
    total = padded(composed.amounts["total"], composed.inputs.currency) if composed else None
    return ChangePreview(
        plan=target.plan,
        cycle=target.cycle or found.phase.cycle,
        when=found.when,
        effective_us=found.effective_us,
        lines=lines,
        taxes=taxes,
        total=total,
        currency=composed.inputs.currency if composed else "",
    )


async def _act(request: web.Request, visit: Visit, tenant: Tenant) -> web.StreamResponse:
    form, desk, action = await request.post(), request.app[SERVICES].billing, request.match_info["action"]
    try:
        match action:
            case "change":
                given = {name: value for name, value in form.items() if isinstance(value, str)}
                target = _target(given.get("plan", ""), given.get("cycle", ""))
                await desk.change(tenant.id, target, visit.user.id, _when(given))
            case "credit" if visit.user.tenant is None:
                await _grant(request, visit, tenant)
            case "cancel" | "keep" | "end" | "pause" | "resume" if tenant.source == "yaml":
                raise InvoiceError(f"the subscription of {tenant.id} is set by the configuration: change it there")
            case "cancel":
                await desk.cancel(tenant.id, visit.user.id)
            case "end":
                await desk.cancel(tenant.id, visit.user.id, now=True)
            case "keep":
                await desk.keep(tenant.id, visit.user.id)
            case "pause":
                await desk.pause(tenant.id, visit.user.id)
            case "resume":
                await desk.resume(tenant.id, visit.user.id)
            case _:
                raise web.HTTPNotFound
    except Moved:
        return await _page(request, visit, tenant, error="Somebody was first: look again.", status=409)
    except InvoiceError as error:
        return await _page(request, visit, tenant, error=str(error), status=409)
    return see_other(f"{_base(visit, tenant)}?done={action}")


async def _grant(request: web.Request, visit: Visit, tenant: Tenant) -> None:
    """Money that the operator gives a tenant, in the currency that it pays in."""
    form, services = await request.post(), request.app[SERVICES]
    amount, reason = amount_of(str(form.get("amount", ""))), words_of(str(form.get("reason", "")), "reason")
    if amount is None or not reason:
        raise InvoiceError("a credit has an amount, and says why")
    await services.billing.grant(tenant.id, amount, _currency(services.snapshot(), tenant), visit.user.id, reason)


def _currency(snapshot: Snapshot, tenant: Tenant) -> str:
    try:
        return plan_prices(snapshot.source, tenant.plan).currency
    except KeyError:
        raise InvoiceError("the plan of this tenant is not in the configuration any more") from None


def _target(plan: str, cycle: str) -> Target:
    if len(plan) > 64 or not plan.isprintable() or cycle not in ("", "month", "year"):
        raise InvoiceError("there is no such plan")
    return Target(plan, cycle)


def _when(given: object) -> When:
    text = given.get("when", "now") if hasattr(given, "get") else "now"
    if text not in WHENS:
        raise InvoiceError("a change is made now, with the next invoice, or at the period's end")
    return cast(When, text)


def _credit(row: CreditRow) -> CreditLine:
    amount, left = (padded(text, row.currency) for text in (row.amount, row.remaining))
    return CreditLine(row.created_us, row.source, amount, left, row.currency, row.expires_us)


def _offers(snapshot: Snapshot, tenant: Tenant, row: SubscriptionRow | None) -> tuple[PlanOffer, ...]:
    """Every plan with its fees and limits; the present one first, then by fee."""
    offers = []
    for name, plan in catalog(snapshot.source).items():
        limits = snapshot.plans[name].limits if name in snapshot.plans else ()
        words = tuple(
            f"{limit.max:,} {'calls at once' if limit.window is None else f'{limit.meter} {window_words(limit)}'}"
            for limit in limits
        )
        month, year = (None if fee is None else padded(fee, plan.currency) for fee in (plan.monthly, plan.yearly))
        present = name == (row.plan if row else tenant.plan)
        prices = tuple(price_words(price, plan.currency) for price in plan.prices)
        cycle = row.cycle if row else ""
        offers.append(PlanOffer(name, plan.currency, month, year, plan.trial_days, words, prices, present, cycle))
    return tuple(sorted(offers, key=lambda offer: (not offer.present, offer.month or 0, offer.name)))


def _base(visit: Visit, tenant: Tenant) -> str:
    return "/portal/plan" if visit.user.tenant else f"/admin/tenants/{quote(tenant.id, safe='')}/plan"
