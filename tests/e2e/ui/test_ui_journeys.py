"""Two days in a real browser, before the real gateway: a customer from the first form to the PDF; an operator."""

import asyncio
import email
import email.policy
import re
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.async_api import expect
from support.process import KEY, GatewayProcess, configuration

pytestmark = [pytest.mark.slow, pytest.mark.service]

PASSWORD = "four words are enough"


@pytest.fixture
def gateway(gateway_process, upstream):
    """Registration with confirmed addresses; acme has been a customer for two periods, and its draft waits."""
    document = configuration(upstream.url)
    document["server"]["public_url"] = f"http://{document['server']['control']}"
    document["accounts"] = {"registration": "open", "verify_email": "on", "default_plan": "free"}
    document["billing"] = {"seller": {"name": "Weather Works", "bank": "IBAN XX00"}, "draft_grace": "20d"}
    document["plans"] = {
        "free": {"limits": [{"name": "monthly", "meter": "calls", "max": 3, "per": "month"}]},
        "pro": {
            "billing": {"month": {"amount": "49"}},
            "limits": [{"name": "monthly", "meter": "calls", "max": 1000, "per": "month"}],
            "prices": [{"type": "per_unit", "meter": "calls", "unit": "0.5"}],
        },
    }
    began = datetime.now(UTC).date() - timedelta(days=35)
    document["tenants"]["acme"] |= {"plan": "pro", "start": began.isoformat()}
    return gateway_process(document)


def call(gateway: GatewayProcess, key: str) -> int:
    """The status of one call through the proxy."""
    request = urllib.request.Request(f"{gateway.url}/v1/rain", headers={"X-API-Key": key})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def mailed_link(gateway: GatewayProcess) -> str:
    """The link in the newest message."""
    newest = max((Path(gateway.folder) / "data" / "mail").glob("*.eml"))
    message = email.message_from_bytes(newest.read_bytes(), policy=email.policy.default)
    return re.search(r"http://\S+", message.get_content())[0]


async def admin_page(browser, gateway: GatewayProcess):
    """The operator, who came by a one-time link."""
    made = await asyncio.to_thread(gateway.command, "users", "create", "ops@example.com", "--role", "admin")
    page = await (await browser.new_context()).new_page()
    await page.goto(re.search(r"http://\S+", made.stdout)[0])
    await expect(page.locator("h1")).to_have_text("Your account")  # there is no password yet
    await page.goto(f"{gateway.control_url}/admin")
    return page


async def press(page, name: str) -> None:
    """Click the button, or the link that looks like one."""
    await page.locator("main").locator("button, a.button").filter(has_text=re.compile(f"^{re.escape(name)}$")).click()


async def until_shown(page, text: str) -> None:
    """Reload until the page says it: something works on it beside us."""
    for _ in range(120):
        if await page.get_by_text(text).count():
            return
        await page.wait_for_timeout(500)
        await page.reload()
    raise AssertionError(f"{page.url} never said {text}")


async def register(page, gateway: GatewayProcess) -> None:
    await page.goto(f"{gateway.control_url}/register")
    for name, value in (("organisation", "Hooli"), ("name", "Hugo"), ("email", "hugo@hooli.example")):
        await page.fill(f"[name={name}]", value)
    await page.fill("[name=password]", PASSWORD)
    await page.click("button.primary")
    await expect(page.locator("h1")).to_have_text("Thank you")
    await page.goto(mailed_link(gateway))
    await press(page, "Confirm")
    await press(page, "Log in")
    await page.fill("[name=email]", "hugo@hooli.example")
    await page.fill("[name=password]", PASSWORD)
    await page.click("button.primary")
    await expect(page.locator("h1")).to_have_text("Overview")


async def make_key(page) -> str:
    await page.click("nav >> text=Keys")
    await page.fill("[name=name]", "production")
    await press(page, "Create the key")
    key = await page.input_value("[data-copy-from]")
    await page.reload()
    assert key not in await page.content()
    await page.click("nav >> text=Keys")
    assert await page.locator("tbody tr").count() == 1
    return str(key)


@pytest.mark.timeout(240)
async def test_from_the_first_form_to_the_pdf(browser, gateway):
    page = await (await browser.new_context()).new_page()
    await register(page, gateway)
    key = await make_key(page)

    await page.click("nav >> text=Usage")
    await page.wait_for_selector(".live[data-state=on]")
    assert await asyncio.to_thread(call, gateway, key) == 200
    await page.wait_for_selector(".tile:first-child .figure:text-is('1')", timeout=20_000)
    assert [await asyncio.to_thread(call, gateway, key) for _ in range(3)] == [200, 200, 429]
    await page.wait_for_selector(".tile:first-child .figure:text-is('3')", timeout=20_000)
    await page.click("nav >> text=Overview")
    await expect(page.locator(".note.full")).to_contain_text("calls are refused with 429")

    await page.click("nav >> text=Plan")
    await until_shown(page, "What would it cost?")
    await page.locator("article", has_text="$49.00").get_by_text("What would it cost?").click()
    await expect(page.locator("#preview")).to_have_text("Change to pro, by the month")
    due = await page.locator(".sums .total dd").inner_text()
    await press(page, "Change now")
    await expect(page.locator("[role=status]")).to_have_text("The plan is changed.")
    async with asyncio.timeout(20):  # the workers hear of it within a second
        while await asyncio.to_thread(call, gateway, key) != 200:  # noqa: ASYNC110
            await asyncio.sleep(0.1)

    await page.click("nav >> text=Invoices")
    await page.click("tbody a")
    await expect(page.locator(".sums .total").first).to_contain_text(due)
    pdf = await page.request.get(await page.get_by_role("link", name="PDF").evaluate("link => link.href"))
    assert (pdf.status, pdf.headers["content-type"]) == (200, "application/pdf")
    assert (await pdf.body()).startswith(b"%PDF-")
    await page.fill("[name=reference]", "transfer 77")
    await press(page, "I have paid")
    invoice = page.url.partition("?")[0].rpartition("/")[2]

    operator = await admin_page(browser, gateway)
    await operator.goto(f"{gateway.control_url}/admin/invoices")
    await operator.locator("section", has_text="Payments to be confirmed").locator("a").click()
    assert operator.url.endswith(invoice)
    await press(operator, "Confirm")
    await expect(operator.locator(".note.good")).to_have_text("The payment is confirmed.")
    await page.reload()
    await expect(page.locator(".chip.good").first).to_have_text("paid")


@pytest.mark.timeout(240)
async def test_the_operators_day(browser, gateway):
    page = await admin_page(browser, gateway)
    assert await asyncio.to_thread(call, gateway, KEY) == 200
    await page.click("nav >> text=Tenants")
    await page.click("tbody a")
    await press(page, "Suspend")
    assert await asyncio.to_thread(call, gateway, KEY) == 403
    await press(page, "Open again")
    assert await asyncio.to_thread(call, gateway, KEY) == 200

    await page.goto(f"{gateway.control_url}/admin/invoices?state=draft")
    await until_shown(page, "Draft")
    await page.locator("tbody td:first-child a").last.click()
    await press(page, "Make it final now")
    await expect(page.locator("h1")).to_contain_text("Invoice INV-")
    await page.fill("#pay ~ form [name=amount]", "1.25")
    await page.fill("#pay ~ form [name=reference]", "bank 1")
    await press(page, "Record")
    await expect(page.locator(".note.good")).to_have_text("The payment is recorded.")
    await page.click("#pay ~ form button")
    await expect(page.locator(".sub .chip")).to_have_text("paid")
    await page.fill("#credit ~ form [name=amount]", "2")
    await page.fill("#credit ~ form [name=reason]", "an hour of outage")
    await press(page, "Make the credit note")
    await expect(page.locator("section", has_text="Credit notes").first).to_contain_text("an hour of outage")

    await page.click("nav >> text=Reconciliation")
    await press(page, "Compare now")
    await expect(page.locator(".note[role=status]")).to_contain_text("Difference 0,")
    await page.click("nav >> text=Audit")
    audit = await page.locator("table").inner_text()
    for action in ("tenant: suspended", "tenant: active", "invoice: finalize", "invoice: pay", "invoice: credit note"):
        assert action in audit, action
