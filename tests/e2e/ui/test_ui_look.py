"""Every page in a real browser: light, dark, phone, desktop, empty, full. Nothing sticks out, all is legible."""

import pytest
from support.ui_world import PASSWORD, World

pytestmark = [pytest.mark.slow, pytest.mark.service]

LONG_ID = "gesellschaft-fuer-interoperable-datenverarbeitung-mbh-und-co"
ADMIN = [
    "/admin",
    "/admin/tenants",
    "/admin/tenants/acme",
    f"/admin/tenants/{LONG_ID}",
    "/admin/calls",
    "/admin/routes",
    *(f"/admin/tenants/{LONG_ID}/{page}" for page in ("usage", "keys", "keys/k1", "plan", "invoices", "team", "audit")),
    *(f"/admin/{page}" for page in ("new-tenant", "invoices", "people", "config", "reconcile", "audit", "outbox")),
]
PORTAL = [
    "/account",
    "/portal",
    *(f"/portal/{page}" for page in ("calls", "usage", "keys", "keys/k1", "try", "plan", "invoices", "team", "audit")),
]

# WCAG 2.1 §1.4.3 of every text that is drawn: its colour over the first opaque background behind it.
LOW_CONTRAST = """() => {
  const canvas = document.createElement('canvas'); canvas.width = canvas.height = 1;
  const pen = canvas.getContext('2d', {willReadFrequently: true});
  const rgba = (text) => { pen.clearRect(0, 0, 1, 1); pen.fillStyle = text; pen.fillRect(0, 0, 1, 1);
    const d = pen.getImageData(0, 0, 1, 1).data; return [d[0], d[1], d[2], d[3] / 255]; };
  const over = (a, b) => [0, 1, 2].map(i => a[i] * a[3] + b[i] * (1 - a[3])).concat(1);
  const linear = (v) => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
  const light = (c) => { const [r, g, b] = c.map(v => linear(v / 255));
    return .2126 * r + .7152 * g + .0722 * b; };
  const ground = (node) => { const layers = [];
    for (let n = node; n && layers.at(-1)?.[3] !== 1; n = n.parentElement)
      layers.push(rgba(getComputedStyle(n).backgroundColor));
    return layers.reverse().reduce((below, c) => over(c, below), [255, 255, 255, 1]); };
  const bad = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const text = walker.currentNode.nodeValue.trim(), node = walker.currentNode.parentElement;
    if (!text || node.closest('svg, [hidden]') || !node.checkVisibility()) continue;
    const below = ground(node), above = over(rgba(getComputedStyle(node).color), below);
    const [high, low] = [light(above), light(below)].sort((a, b) => b - a);
    const ratio = (high + .05) / (low + .05);
    if (ratio < 4.5) bad.push(`${ratio.toFixed(2)} ${text.slice(0, 40)}`);
  }
  return bad;
}"""
NAMELESS = """() => [...document.querySelectorAll('a, button, input:not([type=hidden]), svg[role=img]')]
  .filter(n => !n.hidden &&
  !(n.textContent.trim() || n.getAttribute('aria-label') || n.getAttribute('aria-labelledby') || n.labels?.length))
  .map(n => n.outerHTML.slice(0, 80))"""


async def look(page, url: str, faults: list[str]) -> None:
    """Open a page and collect what is wrong with it."""
    answer = await page.goto(url)
    name = f"{url} {page.viewport_size['width']}"
    if answer.status != 200:
        faults.append(f"{name}: status {answer.status}")
    if len(await answer.body()) >= 100_000:
        faults.append(f"{name}: {len(await answer.body())} bytes")
    for summary in await page.query_selector_all("summary"):
        await summary.click()
    over = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
    if over > 0:
        faults.append(f"{name}: {over} px too wide")
    faults += [f"{name}: contrast {text}" for text in await page.evaluate(LOW_CONTRAST)]
    faults += [f"{name}: without a name {text}" for text in await page.evaluate(NAMELESS)]
    if await page.locator("h1").count() != 1:
        faults.append(f"{name}: not one h1")


async def look_at_all(browser, world: World, width: int, scheme: str) -> list[str]:
    """Every page of an operator and of a tenant's owner."""
    faults: list[str] = []
    owner = f"{'o' * 48}@example.com"
    for email, role, tenant, paths in (("ada@example.com", "admin", None, ADMIN), (owner, "owner", LONG_ID, PORTAL)):
        await world.person(email, role, tenant)
        context = await browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme)
        page = await context.new_page()
        page.on("console", lambda message: faults.append(f"console {message.type}: {message.text}"))
        page.on("pageerror", lambda error: faults.append(f"script: {error}"))
        await look(page, f"{world.url}/login", faults)
        await page.fill("[name=email]", email)
        await page.fill("[name=password]", PASSWORD)
        await page.click("button.primary")
        await page.wait_for_selector("#live")
        for path in paths:
            await look(page, world.url + path, faults)
        await context.close()
    return faults


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
async def test_empty_pages(browser, world, width, scheme):
    assert await look_at_all(browser, world, width, scheme) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
async def test_full_pages(browser, full_world, width, scheme):
    assert await look_at_all(browser, full_world, width, scheme) == []
