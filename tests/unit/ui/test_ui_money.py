"""Plan, invoices and payments on the pages: previewed by the function that charges, owed, paid, and nobody else's."""

import re
import sqlite3
from contextlib import closing
from dataclasses import replace
from decimal import Decimal

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from gateway.clock import DAY_US, MINUTE_US, ManualClock
from gateway.invoicing.changing import Target
from gateway.storage.ports import PLATFORM, Scope
from gateway.tenants.model import Tenant
from gateway.ui.formats import day


@pytest.fixture
async def hooli(world):
    """A tenant that the store owns, with a subscription."""
    await world.store.tenants.create(PLATFORM, Tenant("ten_hooli", "Hooli", "free", source="store"), world.clock.now())
    await world.services.billing.run()
    return world


async def send(world, path, page, **fields):
    data = {"csrf": await world.csrf(page)} | fields
    return await world.client.post(path, data=data, allow_redirects=False)


async def leave(world):
    await world.client.post("/logout", data={"csrf": await world.csrf("/account")})


async def test_preview_upgrade_invoice_and_payment(hooli):
    await hooli.enter("owner", "ten_hooli")
    text = await (await hooli.client.get("/portal/plan?plan=pro&cycle=month")).text()
    due = re.search(r'class="total"><dt>Due now</dt><dd>\$([\d.]+)<', text)[1]
    answer = await send(hooli, "/portal/plan/change", "/portal/plan", plan="pro", cycle="month", when="now")
    assert answer.headers["Location"] == "/portal/plan?done=change"
    assert (await hooli.store.tenants.get(PLATFORM, "ten_hooli")).plan == "pro"
    (invoice,) = await hooli.services.billing.invoices(Scope("ten_hooli"))
    text = await (await hooli.client.get("/portal/invoices")).text()
    assert f"${due}" in text
    assert f"/portal/invoices/{invoice.id}" in text
    text = await (await hooli.client.get(f"/portal/invoices/{invoice.id}")).text()
    assert f"Reference: {invoice.number}" in text
    assert (await send(hooli, f"/admin/invoices/{invoice.id}/pay", "/portal/plan")).status == 404
    mine = f"/portal/invoices/{invoice.id}"
    assert (await send(hooli, f"{mine}/pay", mine, amount="0.02", reference="wire 5")).status == 303
    assert (await send(hooli, f"{mine}/pay", mine, amount="1e6")).status == 409
    assert "not confirmed yet" in await (await hooli.client.get(mine)).text()
    (announced,) = await hooli.services.billing.all_payments(PLATFORM, status="pending")
    await leave(hooli)
    await hooli.enter("finance")
    page = f"/admin/invoices/{invoice.id}"
    assert "Payments to be confirmed" in await (await hooli.client.get("/admin/invoices")).text()
    settle = f"{page}/payments/{announced.id}"
    assert (await send(hooli, f"{settle}/confirm", page, amount="nan")).status == 409
    assert (await send(hooli, f"{settle}/confirm", page)).status == 303
    assert (await send(hooli, f"{settle}/reject", page)).status == 409
    assert (await send(hooli, f"{page}/payments/pay_none/confirm", page)).status == 404
    assert (await send(hooli, f"{page}/pay", page, amount="0.01", reference="bank 1")).status == 303
    assert (await send(hooli, f"{page}/pay", page, amount="0.01", reference="bank 1")).status == 303
    assert (await send(hooli, f"{page}/pay", page, amount="1e9")).status == 409
    assert (await send(hooli, f"{page}/pay", page)).status == 303
    text = await (await hooli.client.get(page)).text()
    assert ">paid</span>" in text
    assert text.count("bank 1") == 1
    assert (await send(hooli, f"{page}/pay", "/account")).status == 409


async def test_an_invoice_as_a_document_for_its_own_people(world):
    await world.services.billing.run()
    (invoice,) = await world.services.billing.invoices(Scope("acme"))
    await world.enter("member", "acme")
    for form, start, kind in (("pdf", b"%PDF-", "inline"), ("html", b"<!doc", "inline"), ("csv", b"invoi", "attach")):
        answer = await world.client.get(f"/portal/invoices/{invoice.id}/{form}")
        assert (answer.status, (await answer.read())[:5]) == (200, start)
        assert answer.headers["Content-Disposition"].startswith(kind)
        assert "<style" not in str(await answer.read())  # the Content-Security-Policy would not have it
        assert (await world.client.get(f"/admin/invoices/{invoice.id}/{form}")).status == 404
    await leave(world)
    await world.enter("support")
    assert (await world.client.get(f"/admin/invoices/{invoice.number}/pdf")).content_type == "application/pdf"
    await leave(world)
    await world.enter("owner", "globex")
    assert (await world.client.get(f"/portal/invoices/{invoice.id}/pdf")).status == 404
    await leave(world)
    answer = await world.client.get(f"/portal/invoices/{invoice.id}/pdf", allow_redirects=False)
    assert answer.headers["Location"].startswith("/login")


async def test_a_line_leads_to_its_calls(world):
    await world.services.billing.run()
    await world.services.billing.calculate(Scope("acme"), "acme", "x")
    await world.enter("owner", "acme")
    draft = next(row for row in await world.services.billing.invoices(Scope("acme")) if row.state == "draft")
    text = await (await world.client.get(f"/portal/invoices/{draft.id}")).text()
    (link,) = set(re.findall(rf"/portal/invoices/{draft.id}/lines/\d+", text))
    assert "calls by these calls." in await (await world.client.get(link)).text()
    assert (await world.client.get(link[: link.rindex("/")] + "/99")).status == 404
    await leave(world)
    await world.enter("owner", "globex")
    assert (await world.client.get(link)).status == 404


async def test_what_the_configuration_owns_is_not_changed_here(world):
    await world.services.billing.run()
    await world.enter("owner", "acme")
    text = await (await world.client.get("/portal/plan")).text()
    assert "config/tenants.yaml:1" in text
    assert "/portal/plan/cancel" not in text
    for action in ("change", "cancel", "keep"):
        answer = await send(world, f"/portal/plan/{action}", "/portal/plan", plan="free")
        assert answer.status == 409, action
        assert "configuration" in await answer.text()


@pytest.mark.parametrize(("role", "status"), [("owner", 303), ("admin", 403), ("member", 403)])
async def test_only_owners_change_the_plan(hooli, role, status):
    await hooli.enter(role, "ten_hooli")
    assert (await send(hooli, "/portal/plan/cancel", "/portal/plan")).status == status
    assert (await hooli.client.get("/portal/plan?plan=pro")).status == 200


async def test_a_cancellation_is_taken_back(hooli):
    await hooli.enter("owner", "ten_hooli")
    assert (await send(hooli, "/portal/plan/keep", "/portal/plan")).status == 409
    await send(hooli, "/portal/plan/change", "/portal/plan", plan="pro", cycle="month", when="now")
    assert (await send(hooli, "/portal/plan/cancel", "/portal/plan")).status == 303
    assert "Go on as before" in await (await hooli.client.get("/portal/plan")).text()
    assert (await send(hooli, "/portal/plan/keep", "/portal/plan")).status == 303


@pytest.mark.parametrize("fields", [{"plan": "nothing"}, {"plan": "x" * 99}, {"plan": "pro", "cycle": "week"},
                                    {"plan": "pro", "when": "never"}, {"plan": "pro\x00"}])  # fmt: skip
async def test_odd_changes_are_refused(hooli, fields):
    await hooli.enter("owner", "ten_hooli")
    assert (await send(hooli, "/portal/plan/change", "/portal/plan", **fields)).status in (400, 409)
    query = "&".join(f"{name}={value}" for name, value in fields.items() if "\x00" not in value)
    assert (await hooli.client.get(f"/portal/plan?{query}")).status == 200


async def test_foreign_invoices_are_not_there(hooli):
    await hooli.services.billing.run(at_us=hooli.clock.now() + 40 * DAY_US)
    foreign = (await hooli.services.billing.invoices(Scope("acme")))[0]
    await hooli.enter("owner", "ten_hooli")
    for id in (foreign.id, foreign.number or "x", "x" * 200, "%00"):
        assert (await hooli.client.get(f"/portal/invoices/{id}")).status == 404
    assert foreign.id not in await (await hooli.client.get("/portal/invoices")).text()


async def test_periods_in_a_list_are_the_documents_own(world):
    far = Tenant("ten_far", "Far", "pro", timezone="Pacific/Kiritimati", source="store")  # 14 h before UTC
    await world.store.tenants.create(PLATFORM, far, world.clock.now())
    await world.services.billing.run()
    (invoice,) = await world.services.billing.invoices(Scope("ten_far"))
    dates = [day(us, far.timezone) for us in (invoice.start_us, invoice.end_us)]
    assert dates != [day(us) for us in (invoice.start_us, invoice.end_us)]
    await world.enter("finance")
    for path in ("/admin/invoices", f"/admin/invoices/{invoice.id}"):
        text = await (await world.client.get(path)).text()
        assert re.search(f">{dates[0]}</time> – <time [^>]*>{dates[1]}<", text)


@pytest.mark.parametrize("query", ["state=evil", "after=" + "x" * 200, "after=%00"])
async def test_odd_lists_are_refused(world, query):
    await world.enter("admin")
    assert (await world.client.get(f"/admin/invoices?{query}")).status in (400, 404)


async def test_support_only_looks(hooli):
    await hooli.services.billing.run(at_us=hooli.clock.now() + 40 * DAY_US)
    invoice = (await hooli.services.billing.invoices(PLATFORM))[0]
    await hooli.enter("support")
    text = await (await hooli.client.get(f"/admin/invoices/{invoice.id}")).text()
    assert "Record a payment" not in text
    for action in ("pay", "void", "finalize", "write_off"):
        assert (await send(hooli, f"/admin/invoices/{invoice.id}/{action}", "/account")).status == 403


@pytest.fixture
async def open_invoice(hooli):
    """An invoice that is owed, with the finance person before it."""
    desk = hooli.services.billing
    await desk.change("ten_hooli", Target("pro", "month"), "test")
    (invoice,) = await desk.invoices(Scope("ten_hooli"))
    await hooli.enter("finance")
    return invoice


async def look(world, invoice):
    return await (await world.client.get(f"/admin/invoices/{invoice.id}")).text()


async def test_a_credit_note_lessens_what_is_owed(hooli, open_invoice):
    page = f"/admin/invoices/{open_invoice.id}"
    for fields in ({"amount": "1"}, {"reason": "x" * 201}, {"reason": "much", "amount": "1e6"},
                   {"reason": "little", "amount": "0.001"}):  # fmt: skip
        assert (await send(hooli, f"{page}/credit", page, **fields)).status == 409, fields
    answer = await send(hooli, f"{page}/credit", page, amount="1.50", reason="an hour of outage")
    assert answer.headers["Location"] == f"{page}?done=credit"
    text = await look(hooli, open_invoice)
    assert "INV-CN-" in text
    assert "an hour of outage" in text
    assert "−$1.50" in text
    assert (await send(hooli, f"{page}/credit", page, reason="the rest")).status == 303
    text = await look(hooli, open_invoice)
    assert ">paid</span>" in text
    assert "Give something back" not in text
    assert (await send(hooli, f"{page}/credit", "/account", reason="more")).status == 409


async def test_void_and_reissue_leads_to_the_new_invoice(hooli, open_invoice):
    page = f"/admin/invoices/{open_invoice.id}"
    answer = await send(hooli, f"{page}/reissue", page)
    fresh = answer.headers["Location"].removesuffix("?done=reissue")
    assert fresh != page
    text = await (await hooli.client.get(fresh)).text()
    assert "takes the place of" in text
    assert page in text
    assert f'Replaced by <a href="{fresh}"' in await look(hooli, open_invoice)
    for action in ("void", "reissue", "pay", "write_off", "finalize", "credit"):
        assert (await send(hooli, f"{page}/{action}", "/account", reason="again")).status == 409, action
    assert (await send(hooli, f"{page}/explode", "/account")).status == 404


async def test_a_payment_form_sent_twice_is_one_payment(hooli, open_invoice):
    page = f"/admin/invoices/{open_invoice.id}"
    for _ in range(2):
        assert (await send(hooli, f"{page}/pay", page, amount="1", once="o" * 16)).status == 303
    assert len(await hooli.services.billing.payments(PLATFORM, open_invoice.id)) == 1


async def test_the_estimated_bill_is_the_preview_of_the_invoice(world):
    """Of the part of the month that is subscribed, with the next fee, credits and taxes; until then, of the plan."""
    desk, tenant = world.services.billing, Scope("acme")
    settings = world.services.snapshot()
    tax = {"region": "DE", "rates": {"DE": [{"name": "VAT", "percent": "19"}]}}
    taxed = replace(settings, source=settings.source | {"billing": settings.source["billing"] | {"tax": tax}})
    desk.snapshot = lambda: taxed
    await world.post_calls("acme", [3 * DAY_US] * 5)  # of this month, and before it subscribed
    await world.post_calls("acme", [0] * 14)
    await world.enter("member", "acme")

    async def shown():
        text = re.sub(r"<[^>]+>|\s+", " ", await (await world.client.get("/portal")).text())
        return re.sub(" +", " ", text)

    text = await shown()
    assert "Estimated bill $49.19 1 Nov 2026 – 1 Dec 2026, before tax" in text
    assert "there is no subscription" in text
    assert await desk.so_far(tenant, "acme") is None
    await desk.run()
    await desk.grant("acme", Decimal("9.14"), "USD", "u", "a gift")
    _, composed = await desk.preview(tenant, "acme")
    assert composed.amounts == {"subtotal": "49.14", "credited": "9.14", "tax": "7.6", "total": "47.6"}
    text = await shown()
    assert "Estimated bill $47.60 20 Nov 2026 – 1 Dec 2026, with tax" in text
    assert "Credits −$9.14 VAT 19 % $7.60 Total $47.60" in text
    world.clock.advance(11 * DAY_US)
    await desk.run()
    await world.log_in("member-acme@example.com")
    assert "1 Dec 2026 – 1 Jan 2027, with tax" in await shown()


async def test_late_usage_is_looked_for_once_a_minute_where_that_is_dear(world):
    class Slow(ManualClock):
        def monotonic(self) -> int:
            self.monotonic_us += 30_000
            return self.monotonic_us

    desk, scope = world.services.billing, Scope("acme")

    async def totals():
        return [(await look(scope, "acme"))[1].amounts["total"] for look in (desk.so_far, desk.preview)]

    await desk.run()
    world.clock.advance(11 * DAY_US)
    await desk.run()
    world.clock.advance(5 * DAY_US)
    await desk.run()  # the cycle's invoice is final: what comes now is late
    desk.clock = Slow(world.clock.now())
    assert await totals() == ["49", "49"]
    await world.post_calls("acme", [15 * DAY_US])
    await world.post_calls("acme", [0])
    assert await totals() == ["49.01", "49.02"]
    desk.clock.advance(MINUTE_US)
    assert await totals() == ["49.02", "49.02"]


async def test_the_estimate_reads_no_invoice_of_another_tenant(world, tmp_path):
    """SQLite took the index of states: every open invoice there is, for one tenant's page."""
    await world.services.billing.run()
    asked = []

    def listen(connection, cursor, statement, parameters, context, many):
        asked.append((statement, parameters))

    event.listen(Engine, "before_cursor_execute", listen)
    try:
        assert await world.services.billing.so_far(Scope("acme"), "acme")
    finally:
        event.remove(Engine, "before_cursor_execute", listen)
    with closing(sqlite3.connect(tmp_path / "ui.db")) as database:
        plans = [
            row[3]
            for statement, parameters in asked
            if "FROM invoices" in statement
            for row in database.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
        ]
    assert len(plans) >= 3
    assert all("tenant=?" in plan or "subscription=?" in plan for plan in plans if "SEARCH" in plan or "SCAN" in plan)
